"""Pools that count, that fail, and a child process that is killed at a chosen request; all speak to the real server.

A pool here stands between `toolkit.cluster.request.Connection` and urllib3. The child comes from a fork server that
has the libraries loaded already, so that a kill at every request of an apply costs tens of milliseconds each.
"""

from __future__ import annotations

import functools
import io
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from http import HTTPStatus
from pathlib import Path

from urllib3.exceptions import ProtocolError

from toolkit.cluster.connect import connect
from toolkit.cluster.request import Answer, Connection, Pool
from toolkit.topology.topology import Topology

READS = frozenset({"GET", "HEAD"})
Work = Callable[[Connection, Topology], object]
"""What is done to a cluster; a function of a module, because a child process has to find it by name."""


def path_of(url: str) -> str:
    """Give what of a URL names an object: its path, without server and query."""
    return "/" + url.split("://", 1)[1].split("/", 1)[1].split("?", 1)[0]


@dataclass
class CountingPool:
    """Sends everything on and remembers what it was: method and path."""

    pool: Pool
    asked: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def request(self, method: str, url: str, **options: object) -> Answer:
        with self.lock:
            self.asked.append((method, path_of(url)))
        return self.pool.request(method, url, **options)

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [each for each in self.asked if each[0] not in READS]


# ---------------------------------------------------------------- faults that pass
class Fault(str, Enum):
    """What goes wrong, once, with every request."""

    TOO_MANY = "429 with Retry-After"
    SLOW_STORE = "500: etcd timed out, and nothing was done"
    RESET_BEFORE = "the connection breaks before the server has the request"
    RESET_AFTER = "the connection breaks after the server did it"


class Said:
    """An answer that a server or a proxy on the way might give."""

    def __init__(self, status: int, document: object, **headers: str) -> None:
        self.status, self.headers = status, headers
        self.body = io.BytesIO(json.dumps(document).encode())

    def read(self, amt: int | None = None) -> bytes:
        return self.body.read(amt)

    def close(self) -> None:
        self.body.close()

    def release_conn(self) -> None:
        pass


@dataclass
class StumblingPool:
    """Lets every request go wrong the first time it is made, and right from then on."""

    pool: Pool
    fault: Fault
    stumbled: set[tuple[str, str]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def request(self, method: str, url: str, **options: object) -> Answer:
        with self.lock:
            first = (method, url) not in self.stumbled
            self.stumbled.add((method, url))
        if not first:
            return self.pool.request(method, url, **options)
        if self.fault is Fault.TOO_MANY:
            return Said(429, {"message": "too many requests"}, **{"Retry-After": "0"})
        if self.fault is Fault.SLOW_STORE:
            return Said(500, {"message": "etcdserver: request timed out"})
        if self.fault is Fault.RESET_AFTER:
            answer = self.pool.request(method, url, **options)
            answer.read()
            answer.release_conn()
        raise ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer"))


# ---------------------------------------------------------------- the kill
@dataclass
class DyingPool:
    """Kills its own process at one request: before it is sent, or when the server has answered it.

    With a `method` only such requests count, and only those that the server did; a busy one refuses some first. With
    `writes_only` a request that reads does not count.
    """

    pool: Pool
    at: int
    answered: bool
    method: str = ""
    writes_only: bool = False
    number: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def request(self, method: str, url: str, **options: object) -> Answer:
        if self.method:
            return self._of_method(method, url, **options)
        if self.writes_only and method in READS:
            return self.pool.request(method, url, **options)
        with self.lock:
            self.number += 1
            here = self.number == self.at
            if here and not self.answered:
                die()
        answer = self.pool.request(method, url, **options)
        if here:
            die()
        return answer

    def _of_method(self, method: str, url: str, **options: object) -> Answer:
        answer = self.pool.request(method, url, **options)
        with self.lock:
            self.number += method == self.method and answer.status < HTTPStatus.MULTIPLE_CHOICES
            if self.number == self.at:
                die()
        return answer


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()


def _run(work: Work, topology: Topology, kubeconfig: Path, *how: int | bool | str) -> None:
    connection = connect(topology, "main", kubeconfig)
    work(replace(connection, pool=DyingPool(connection.pool, *how)), topology)


@functools.cache
def _fork_server() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "toolkit.cluster.apply", "toolkit.render.objects"])
    return context


def killed_at(
    work: Work,
    topology: Topology,
    kubeconfig: Path,
    at: int,
    *,
    answered: bool,
    method: str = "",
    writes_only: bool = False,
) -> bool:
    """Do the work in a child that dies at its request number `at` (from 1); False when it never made so many.

    Args:
        answered: die when the server has answered it, and not before it is sent.
        method: count only requests with this method that the server did.
        writes_only: count only requests that change something: a server that has answered a question is as it was.
    """
    how = (at, answered, method, writes_only)
    child = _fork_server().Process(target=_run, args=(work, topology, kubeconfig, *how))
    child.start()
    child.join(300)
    ended = child.exitcode
    child.close()
    assert ended in {0, -signal.SIGKILL}, f"the child ended with {ended}"
    return ended == -signal.SIGKILL
