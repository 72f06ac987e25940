"""Tell systemd how the daemon is: ready, ending, still alive (protocol: sd_notify(3), a datagram of NAME=VALUE lines).

`daemon` says READY when it serves and has taken up its installations, STOPPING at the end, and WATCHDOG only when the
control thread and the event loop have both answered, so that a daemon in which one of them hangs is started again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from functools import partial

from edge_runtime.worker import Post

log = logging.getLogger(__name__)


class Notifier:
    """systemd's socket; without one nothing is said."""

    def __init__(self, address: str, watchdog_seconds: float = 0.0) -> None:
        """Take the address of NOTIFY_SOCKET (empty: there is no systemd) and the watchdog's time-out (0: none)."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_seconds = watchdog_seconds

    def tell(self, message: str) -> None:
        """Say something, for example `READY=1`."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
                connection.sendto(message.encode(), self._address)
        except OSError as error:
            log.warning("systemd cannot be told %s: %s", message, error)

    async def watch(self, post: Post) -> None:
        """Say that we are alive, for ever, as long as the control thread answers what is posted to it."""
        if not self._address or not self._watchdog_seconds:
            return
        loop = asyncio.get_running_loop()

        def answer(answered: asyncio.Event) -> None:
            loop.call_soon_threadsafe(answered.set)

        while True:
            answered = asyncio.Event()
            post(partial(answer, answered))
            await answered.wait()
            self.tell("WATCHDOG=1")
            # systemd advises half the time-out; a third leaves room for a slow answer.
            await asyncio.sleep(self._watchdog_seconds / 3)
