"""Put the two halves of the house together, run them, and end them in good order.

    event loop (main thread)   front: doors, desk, models
    control                    back: decides about installations, transfers, reports
    disk, loader               work for control
    link, pump                 bring messages to control
    model NAME VERSION         owns one engine; calls that are short the loop runs itself (serving.batcher)

The front listens first, so that somebody who asks too early gets an answer; then the back takes up what the state
folder remembers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import ClassVar, Final

from edge_runtime.back import NO_SURFACE, Back, Surface
from edge_runtime.clock import Clock
from edge_runtime.config import Settings
from edge_runtime.drill import Drill
from edge_runtime.facts import read_fingerprint
from edge_runtime.front import Front
from edge_runtime.line import Inbox
from edge_runtime.notify import Notifier
from edge_runtime.standing import LOOK_SECONDS, Standing, write_standing
from toolkit.sync.whole import write_whole
from toolkit.wire.document import Document, encode_json

log = logging.getLogger(__name__)

MACHINE_CLOCK: Final = Clock()
PARTING_SECONDS: Final = 5.0
"""How long the end waits for a systemd that has no room for the news of it."""


class ServingPlace(Document, frozen=True, kw_only=True, omit_defaults=True):
    """STATE/serving.json: where this device's daemon serves."""

    FORMAT: ClassVar[int] = 1
    device: str
    host: str
    port: int
    pid: int
    unix_socket: str = ""


class Daemon:
    """One device's daemon."""

    def __init__(
        self,
        settings: Settings,
        drill: Drill,
        notifier: Notifier,
        clock: Clock = MACHINE_CLOCK,
        surface: Surface = NO_SURFACE,
    ) -> None:
        """Open the state folder and take it for this process.

        Args:
            settings: as read at the start.
            drill: the moments at which to stop.
            notifier: tells systemd.
            clock: what time it is.
            surface: reads the settings again, and sets how much is logged.

        Raises:
            StoreError: the folder cannot be used, or another daemon has it.
            TiersError: the address to serve on is not allowed.
        """
        self._config = settings.config
        self._drill = drill
        self._notifier = notifier
        self._inbox = Inbox()
        fingerprint = read_fingerprint()
        self._front = Front(
            self._config,
            fingerprint,
            self._inbox.post,
            condition=lambda: self._back.condition(self._front.sensors.latest),
            outbox=lambda: self._back.records.outbox,
            activator=lambda: self._back.activator,
        )
        self._back = Back(settings, fingerprint, self._inbox, drill, clock, surface)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            TiersError: the port cannot be had.
        """
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        try:
            await self._front.open()
            self._say_where()
            self._back.open(self._front, loop)
            telling = [loop.create_task(each) for each in (self._tell_systemd(), self._tell_status(loop))]
            await ended.wait()
            for task in telling:
                task.cancel()
            log.info("ending")
            await self._notifier.tell("STOPPING=1", longest_seconds=PARTING_SECONDS)
        finally:
            await self._back.stop(loop)
            await self._front.close()
            await self._back.close(loop)

    async def _tell_systemd(self) -> None:
        """Say that we are ready when what shall serve is loaded, and then that we are alive."""
        await self._notifier.announce(self._inbox.post, lambda: self._back.at_rest)
        await self._notifier.watch(self._inbox.post, self._front.canaries.sing)

    async def _tell_status(self, loop: asyncio.AbstractEventLoop) -> None:
        """Leave for `tiers-edge status` what only this process knows, when it has changed."""
        told: Standing | None = None
        while True:
            standing = self._back.standing(self._front)
            if standing != told:
                told = standing
                await loop.run_in_executor(None, write_standing, self._back.folders.standing, standing)
            await asyncio.sleep(LOOK_SECONDS)

    def _say_where(self) -> None:
        serving = self._config.serving
        place = ServingPlace(
            device=self._config.device,
            host=serving.host,
            port=self._front.port,
            pid=os.getpid(),
            unix_socket=serving.unix_socket,
        )
        file = self._back.folders.serving
        try:
            with self._drill.write("serving"):
                write_whole(file, encode_json(place))
        except OSError as error:
            log.error("%s: %s; serving goes on", file, error)  # noqa: TRY400 -- explained
        log.info("device %s serves on %s:%d %s", place.device, place.host, place.port, place.unix_socket)
