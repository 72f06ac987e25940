"""Loopback ports for the programs under test; `conftest.free_port` and the servers of contracts and cluster ask here.

A port that was bound to 0 and let go is anybody's a moment later: the next test's, or the near end of a connection. So
each process takes a block of ports below those that the kernel gives away by itself (ip_local_port_range), holds it for
as long as it lives by the name of a socket, and hands its ports out in turn.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import Iterator

FIRST, LAST, BLOCK = 10_000, 30_000, 400
OF_THE_PAGES = range(18_400, 19_200)
"""What the commands of docs/guides name: their readers need ports that stand there, so nobody else is told of these."""
_held: dict[int, tuple[socket.socket, Iterator[int]]] = {}
"""By process, because a child that was forked has the memory of its parent: the name that is held, and the ports."""


def _turn(block: int) -> Iterator[int]:
    first = FIRST + block * BLOCK
    return itertools.cycle(range(first, first + BLOCK))


def _take_block() -> tuple[socket.socket, Iterator[int]]:
    """Take a block that no other process on this machine has."""
    blocks = [
        block
        for block in range((LAST - FIRST) // BLOCK)
        if FIRST + block * BLOCK not in OF_THE_PAGES  # both begin and end with a block
    ]
    random.Random(os.getpid()).shuffle(blocks)
    for block in blocks:
        holder = socket.socket(socket.AF_UNIX)
        try:
            holder.bind(
                f"\0tiers-test-ports-{block}"
            )  # without a file: the kernel forgets it with the process
        except OSError:
            holder.close()
            continue
        return holder, _turn(block)
    raise AssertionError("every block of ports is taken by a test process")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(number: int) -> list[int]:
    """Name TCP ports on loopback that nobody uses, and that none but this process is told of."""
    if os.getpid() not in _held:
        _held[os.getpid()] = _take_block()
    _, ports = _held[os.getpid()]
    found = list(itertools.islice(filter(_is_free, itertools.islice(ports, BLOCK)), number))
    assert len(found) == number, "so many ports are not free"
    return found


def one_free_port() -> int:
    """Name one, in the shape that `start_broker` asks for."""
    (port,) = free_ports(1)
    return port
