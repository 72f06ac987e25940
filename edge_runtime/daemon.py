"""Put the daemon together, run it, and end it in good order.

    event loop (main thread)   serving: connections, models
    control                    decides: installations, transfers, reports
    disk, loader               work for control
    link, pump                 bring messages to control
    model NAME VERSION         owns one engine

The server listens first, so that somebody who asks too early gets an answer; then control takes up what the state
folder remembers, and serves it without waiting for any network.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import ClassVar, Final

from edge_runtime.activate import Activator
from edge_runtime.clock import Clock
from edge_runtime.config import Settings
from edge_runtime.control import Control
from edge_runtime.drill import Drill
from edge_runtime.facts import free_disk, free_memory, newest_onnx_ir, read_fingerprint
from edge_runtime.folders import Folders
from edge_runtime.install import Installer, Workshop
from edge_runtime.jetson import read_gpu
from edge_runtime.line import Inbox, Line
from edge_runtime.live import Live
from edge_runtime.metrics import Condition, metrics_page
from edge_runtime.notify import Notifier
from edge_runtime.offers import Offers
from edge_runtime.part import Part
from edge_runtime.patching import Bench, Patching
from edge_runtime.permit import Permit, Wait
from edge_runtime.reports import Reports, Sources
from edge_runtime.roads import second_road
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.server import Server
from edge_runtime.shelf import Shelf
from edge_runtime.store import Store
from edge_runtime.transfer import Fetches, Surroundings
from edge_runtime.trial import Trials
from edge_runtime.worker import Worker
from toolkit.link.choose import make_link
from toolkit.link.link import LastWill, Link
from toolkit.link.presets import PRESETS
from toolkit.link.settings import settings_from_config
from toolkit.protocol.offer import Ability
from toolkit.sync.whole import write_whole
from toolkit.wire.device_config import DeviceConfig
from toolkit.wire.document import Document, encode_json
from toolkit.wire.fingerprint import Fingerprint
from toolkit.wire.report import Presence
from toolkit.wire.topics import Topics

log = logging.getLogger(__name__)


MACHINE_CLOCK: Final = Clock()


@dataclass(frozen=True)
class Surface:
    """What only the command can do for a daemon that runs."""

    reread: Callable[[], DeviceConfig] | None = None
    """Reads the settings again; None where they cannot change."""
    log_at: Callable[[str], None] = lambda _: None
    """Sets how much is logged."""


NO_SURFACE: Final = Surface()


class ServingPlace(Document, frozen=True, kw_only=True):
    """STATE/serving.json: where this device's daemon serves."""

    FORMAT: ClassVar[int] = 1
    device: str
    host: str
    port: int
    pid: int


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
        config = settings.config
        self._settings = settings
        self._drill = drill
        self._notifier = notifier
        self._surface = surface
        self._disk_budget = config.disk_budget_bytes
        self._permit = Permit(config, clock)
        self._control: Control | None = None
        self._installer: Installer | None = None
        self._fingerprint = read_fingerprint()
        self._table = ModelTable(config.models)
        page = metrics_page(self._table, self._fingerprint, self._condition)
        self._server = Server(config.serving, self._table, page)
        self._folders = Folders(Path(config.state))
        self._folders.prepare()
        self._lock = self._folders.lock()
        self._folders.sweep()
        self._store = Store(self._folders.database, drill)
        self._starts = self._store.next("starts")
        self._inbox = Inbox()
        self._disk = Worker("disk", self._inbox.post)
        self._loader = Worker("loader", self._inbox.post)
        self._trials = Trials(self._inbox.post)
        self._second = second_road(config, self._inbox.post)

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
            await self._server.start()
            self._say_where()
            self._control = self._make_control(loop)
            self._control.start()
            self._inbox.post(lambda: self._notifier.tell("READY=1"))
            watching = loop.create_task(self._notifier.watch(self._inbox.post))
            await ended.wait()
            watching.cancel()
            log.info("ending")
            self._notifier.tell("STOPPING=1")
        finally:
            await self._end(loop)

    async def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        self._trials.close()
        if self._control is not None:
            await loop.run_in_executor(None, self._control.stop)
        if self._second is not None:
            await loop.run_in_executor(None, self._second.http.close)
        self._folders.serving.unlink(missing_ok=True)
        await self._server.stop()
        await self._table.close()
        for worker in (self._loader, self._disk):
            await loop.run_in_executor(None, worker.close)
        self._store.close()
        os.close(self._lock)

    # ------------------------------------------------------------ the parts
    def _make_control(self, loop: asyncio.AbstractEventLoop) -> Control:
        config = self._settings.config
        topics = Topics(config.site)
        mark = self._store.client_mark()
        line = Line(config.device, topics, lambda: open_link(config, topics, self._settings.instance, mark))
        shelf = Shelf(self._store, self._folders, self._drill)
        preset = PRESETS[config.broker.preset]
        around = Surroundings(
            device=config.device,
            store=self._store,
            folders=self._folders,
            disk=self._disk,
            send=line.request,
            now=time.monotonic,
            max_frame_bytes=preset.max_payload_bytes,
            settings=replace(
                self._drill.pace, max_window=min(self._drill.pace.max_window, preset.max_window_bytes)
            ),
            open_part=partial(Part, drill=self._drill),
            second=self._second,
            listen=line.listen if config.download.broadcast else None,
        )
        fetches = Fetches(around, self._starts)
        ability = ability_of(lambda: self._disk_budget, self._folders, self._fingerprint)
        bench = Bench(
            shelf=shelf,
            store=self._store,
            folders=self._folders,
            disk=self._disk,
            fetches=fetches,
            keyring=lambda: self._settings.keyring,
            ability=ability,
            want_manifest=line.want_manifest,
            now=time.monotonic,
            drill=self._drill,
        )
        patching = Patching(bench)
        reports = Reports(
            device=config.device,
            store=self._store,
            starts=self._starts,
            fingerprint=self._fingerprint,
            sources=Sources(
                manifest=shelf.manifest,
                served=self._table.served,
                wait=self._wait_of,
                patch_problem=patching.problem_of,
                doubts_clock=lambda: self._permit.doubts_clock,
            ),
            report_seconds=config.report_seconds,
            send=line.report,
        )
        self._take_up(config, fetches, reports)
        workshop = Workshop(
            store=self._store,
            folders=self._folders,
            shelf=shelf,
            disk=self._disk,
            offers=Offers(
                shelf=shelf,
                store=self._store,
                disk=self._disk,
                trust=self._settings.trust,
                ability=ability,
                want_manifest=line.want_manifest,
                start_fetch=fetches.start_index,
                make_room=self._make_room,
            ),
            fetches=fetches,
            patching=patching,
            trials=self._trials,
            activator=Activator(self._table, loop, self._loader, self._inbox.post),
            reports=reports,
            permit=self._permit,
            live=Live(
                config,
                self._surface.reread or (lambda: config),
                lambda changed: self._take_up(changed, fetches, reports),
            ),
            drill=self._drill,
            now=time.monotonic,
        )
        self._installer = Installer(config.models, workshop)
        return Control(self._settings, topics, self._inbox, line, workshop, self._installer)

    def _take_up(self, config: DeviceConfig, fetches: Fetches, reports: Reports) -> None:
        """Go by changed settings from now on, as far as `live` lists them."""
        self._disk_budget = config.disk_budget_bytes
        self._permit.follow(config)
        fetches.limit(config.download_bytes_per_second)
        reports.report_seconds = config.report_seconds
        self._surface.log_at(config.log)

    def _make_room(self, model: str, short_bytes: int, done: Callable[[], None]) -> bool:
        return self._installer is not None and self._installer.room.make(model, short_bytes, done)

    def _wait_of(self, model: str) -> Wait | None:
        return self._installer.wait_of(model) if self._installer is not None else None

    def _say_where(self) -> None:
        config = self._settings.config
        place = ServingPlace(
            device=config.device, host=config.serving.host, port=self._server.port, pid=os.getpid()
        )
        with self._drill.write("serving"):
            write_whole(self._folders.serving, encode_json(place))
        log.info("device %s serves on %s:%d", place.device, place.host, place.port)

    def _condition(self) -> Condition:
        installations = self._installer.installations if self._installer else {}
        return Condition(
            states={model: held.state for model, held in installations.items()},
            loads=self._installer.loads if self._installer else {},
            connected=self._control is not None and self._control.connected,
            refused_documents=self._control.refused if self._control else 0,
            disk_free_bytes=free_disk(self._folders.state),
            second=self._second.received if self._second is not None else None,
            gpu=read_gpu(),
        )


def open_link(config: DeviceConfig, topics: Topics, instance: str = "", mark: str = "") -> Link:
    """Make the device's link, with the last will that says offline.

    A broker lets each client id in once: whoever shows it ends the connection of who had it. So ours ends in `mark`,
    which nobody can guess and which stays, so that a device that comes back takes the place of what is left of it.

    Raises:
        UnreachableError: the password file cannot be read.
        MissingExtraError: the configuration wants awscrt, which is not installed.
    """
    will = Presence(device=config.device, state="offline")
    parts = ("edge", config.site, config.device, instance, mark)
    return make_link(
        settings_from_config(config.broker, "-".join(each for each in parts if each)),
        will=LastWill(topics.presence(config.device), encode_json(will)),
    )


def ability_of(disk_budget: Callable[[], int], folders: Folders, facts: Fingerprint) -> Callable[[], Ability]:
    """Give a function that says what the device can do at the moment; a budget of 0 leaves it to the disk."""
    onnx_ir = lru_cache(newest_onnx_ir)

    def ability() -> Ability:
        disk = free_disk(folders.state)
        if budget := disk_budget():
            disk = min(disk, max(budget - folders.used_bytes(), 0))
        return Ability(
            architecture=facts.architecture,
            onnx_ir=onnx_ir(),
            free_memory_bytes=free_memory(),
            free_disk_bytes=disk,
            l4t=facts.l4t,
            tensorrt=facts.tensorrt,
            compute_capability=facts.compute_capability,
        )

    return ability
