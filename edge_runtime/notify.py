"""Tell systemd how the daemon is: ready, ending, still alive (protocol: sd_notify(3), a datagram of NAME=VALUE lines).

`daemon` says READY when it serves and has loaded what it is to serve, STOPPING at the end, and WATCHDOG only when the
control thread and the event loop have both answered and every engine has computed something (`canary`), so that a
daemon in which one of them hangs is killed and started again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from edge_runtime.worker import Post

log = logging.getLogger(__name__)
EXTEND_SECONDS: Final = 120
"""By how much the time to start is extended while something loads."""
LOOK_SECONDS: Final = 0.2
"""Pause between two looks whether everything is loaded."""
AGAIN_SECONDS: Final = 0.1
"""Pause before something is said again for which systemd's socket had no room."""
LONGEST_START: Final = 1800.0
"""Seconds for which a start is extended; an engine that builds for longer hangs."""


class Notifier:
    """systemd's socket; without one nothing is said."""

    def __init__(self, address: str, watchdog_seconds: float = 0.0) -> None:
        """Take the address of NOTIFY_SOCKET (empty: there is no systemd) and the watchdog's time-out (0: none)."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_seconds = watchdog_seconds

    async def tell(self, message: str, longest_seconds: float = math.inf) -> None:
        """Say something, for example `READY=1`.

        A systemd that has not read what was said before has no room for more, a few messages at most. That is waited
        for, while the event loop goes on; after `longest_seconds` the message stays unsaid.
        """
        if not self._address:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + longest_seconds
        while True:
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
                    connection.sendto(message.encode(), socket.MSG_DONTWAIT, self._address)
            except OSError as error:
                if not isinstance(error, BlockingIOError) or loop.time() >= until:
                    log.warning("systemd cannot be told %s: %s", message, error)
                    return
            else:
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def announce(
        self, post: Post, at_rest: Callable[[], bool], longest_seconds: float = LONGEST_START
    ) -> None:
        """Say READY once nothing is being loaded any more, and ask for more time till then.

        Args:
            post: hands calls to the control thread, where `at_rest` is asked.
            at_rest: whether nothing is being loaded.
            longest_seconds: time after which no more is asked for; systemd then ends what does not get ready.
        """
        loop = asyncio.get_running_loop()
        began = extended = loop.time()
        while not await _ask(post, at_rest):
            now = loop.time()
            if now - began < longest_seconds and (extended == began or now - extended > EXTEND_SECONDS / 4):
                await self.tell(f"EXTEND_TIMEOUT_USEC={EXTEND_SECONDS * 1_000_000}\nSTATUS=loading models")
                extended = now
            await asyncio.sleep(LOOK_SECONDS)
        await self.tell("READY=1\nSTATUS=serving")

    async def watch(self, post: Post, alive: Callable[[], Awaitable[None]]) -> None:
        """Say that we are alive, for ever, as long as the control thread answers and `alive` returns."""
        if not self._address or not self._watchdog_seconds:
            return
        while True:
            await _ask(post, lambda: True)
            await alive()
            await self.tell("WATCHDOG=1")
            # systemd advises half the time-out; a third leaves room for a slow answer.
            await asyncio.sleep(self._watchdog_seconds / 3)


def watchdog_seconds(environment_usec: str, environment_pid: str, pid: int) -> float:
    """Give the watchdog's time-out from WATCHDOG_USEC and WATCHDOG_PID; 0 where it is meant for another process."""
    if environment_pid and environment_pid != str(pid):
        return 0.0
    return int(environment_usec) / 1e6 if environment_usec.isdecimal() else 0.0


async def _ask(post: Post, question: Callable[[], bool]) -> bool:
    """Ask in the control thread; waits for ever when that hangs."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bool] = loop.create_future()

    def settle(found: bool) -> None:  # noqa: FBT001 -- a callback's only argument
        if not answer.done():
            answer.set_result(found)

    def ask() -> None:
        loop.call_soon_threadsafe(settle, question())

    post(ask)
    return await answer
