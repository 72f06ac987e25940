"""The back of the house: what is installed, what is fetched and reported over the link, what is put down for later.

    link, pump -> control (decides) -> disk, loader, trials (work) -> control

`daemon` opens it when the front listens. It takes up what the state folder remembers, and serves that without waiting
for any network.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from edge_runtime.ability import ability_of
from edge_runtime.activate import Activator
from edge_runtime.clock import Clock
from edge_runtime.config import Settings
from edge_runtime.control import Control
from edge_runtime.drill import Drill
from edge_runtime.facts import free_disk
from edge_runtime.folders import Folders
from edge_runtime.front import Front
from edge_runtime.install import Installer
from edge_runtime.line import Inbox, Line
from edge_runtime.live import Live
from edge_runtime.metrics import Condition
from edge_runtime.offers import Offers
from edge_runtime.part import Part
from edge_runtime.patching import Bench, Patching
from edge_runtime.permit import Permit, Wait
from edge_runtime.plan_fetch import PlanBench, PlanFetching
from edge_runtime.records import Records
from edge_runtime.reports import Reports, Sources
from edge_runtime.residents import Memory
from edge_runtime.roads import second_road
from edge_runtime.sensors import Readings
from edge_runtime.shelf import Shelf
from edge_runtime.standing import Standing
from edge_runtime.store import Store
from edge_runtime.transfer import Fetches, Surroundings
from edge_runtime.trial import Trials
from edge_runtime.worker import Worker
from edge_runtime.workshop import Workshop
from toolkit.errors import StoreError
from toolkit.link.choose import make_link
from toolkit.link.link import LastWill, Link
from toolkit.link.presets import PRESETS
from toolkit.link.settings import settings_from_config
from toolkit.wire.device_config import DeviceConfig
from toolkit.wire.document import encode_json
from toolkit.wire.fingerprint import Fingerprint
from toolkit.wire.report import Presence
from toolkit.wire.topics import Topics

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surface:
    """What only the command can do for a daemon that runs."""

    reread: Callable[[], DeviceConfig] | None = None
    """Reads the settings again; None where they cannot change."""
    log_at: Callable[[str], None] = lambda _: None
    """Sets how much is logged."""


NO_SURFACE: Final = Surface()


class Back:
    """One device's state folder, and who works on it."""

    def __init__(
        self,
        settings: Settings,
        fingerprint: Fingerprint,
        inbox: Inbox,
        drill: Drill,
        clock: Clock,
        surface: Surface,
    ) -> None:
        """Open the state folder and take it for this process.

        Args:
            settings: as read at the start.
            fingerprint: what the device is.
            inbox: of the control thread.
            drill: the moments at which to stop.
            clock: what time it is.
            surface: reads the settings again, and sets how much is logged.

        Raises:
            StoreError: the folder cannot be used, or another daemon has it.
            UsageError: the key of the outbox cannot be read.
        """
        config = settings.config
        self._settings = settings
        self._fingerprint = fingerprint
        self._inbox = inbox
        self._drill = drill
        self._surface = surface
        self._disk_budget = config.disk_budget_bytes
        self._permit = Permit(config, clock)
        self._control: Control | None = None
        self.installer: Installer | None = None
        self.activator: Activator | None = None
        self.folders = Folders(Path(config.state))
        self.folders.prepare()
        self._lock = self.folders.lock()
        self.folders.sweep()
        self._store = Store(self.folders.database, drill)
        self._starts = self._count_start()
        self.records = Records(config, self.folders.outbox, self._permit.clock, drill)
        self._disk = Worker("disk", inbox.post)
        self._loader = Worker("loader", inbox.post)
        self._trials = Trials(inbox.post)
        self._second = second_road(config, inbox.post)

    def open(self, front: Front, loop: asyncio.AbstractEventLoop) -> None:
        """Take up what is remembered, and turn to the broker."""
        self._control = self._make_control(front, loop)
        self._control.start()

    async def stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Decide, send and try out nothing more; what serves goes on."""
        self._trials.close()
        if self._control is not None:
            await loop.run_in_executor(None, self._control.stop)
        if self._second is not None:
            await loop.run_in_executor(None, self._second.http.close)
        self.folders.serving.unlink(missing_ok=True)
        self.folders.standing.unlink(missing_ok=True)

    async def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Finish what is written, and leave the folder to another process."""
        for worker in (self._loader, self._disk):
            await loop.run_in_executor(None, worker.close)
        await loop.run_in_executor(None, self.records.close)
        self._store.close()
        os.close(self._lock)

    # ------------------------------------------------------------ how it stands
    @property
    def at_rest(self) -> bool:
        """Whether what shall serve is loaded."""
        return self.installer is None or self.installer.at_rest

    def condition(self, readings: Readings) -> Condition:
        """Say for the page of metrics how the device stands."""
        installations = self.installer.installations if self.installer else {}
        return Condition(
            states={model: held.state for model, held in installations.items()},
            loads=self.installer.loads if self.installer else {},
            connected=self._connected,
            refused_documents=self._control.refused if self._control else 0,
            disk_free_bytes=free_disk(self.folders.state),
            second=self._second.received if self._second is not None else None,
            readings=readings,
        )

    def standing(self, front: Front) -> Standing:
        """Say for `tiers-edge status` what only this process knows."""
        draining = self.records.draining
        return Standing(
            connected=self._connected,
            receiver=draining is not None and draining.reached,
            problem=draining.problem if draining is not None else "",
            outbox=self.records.standing(),
            rungs={model: rung.name.lower() for model, rung in front.desk.rungs.items()},
            engines=front.table.engines,
        )

    @property
    def _connected(self) -> bool:
        return self._control is not None and self._control.connected

    def _count_start(self) -> int:
        """Number this start; where the disk does not take it, by what it has: what is installed must serve."""
        try:
            return self._store.next("starts")
        except StoreError as error:
            log.error("%s; %s; serving what is installed", error.message, error.hint)  # noqa: TRY400 -- explained
            return self._store.count("starts") + 1

    # ------------------------------------------------------------ the parts
    def _make_control(self, front: Front, loop: asyncio.AbstractEventLoop) -> Control:
        config, inbox = self._settings.config, self._inbox
        topics = Topics(config.site)
        mark = self._store.client_mark()
        line = Line(config.device, topics, lambda: open_link(config, topics, self._settings.instance, mark))
        front.hear(line, topics, loop)
        shelf = Shelf(self._store, self.folders, self._drill)
        fetches = Fetches(self._surroundings(line), self._starts)
        memory = Memory(config.memory_budget_bytes)
        activator = Activator(front.table, loop, self._loader, inbox.post, front.stages.lay, memory)
        self.activator = activator
        ability = ability_of(
            lambda: self._disk_budget, self.folders, self._fingerprint, lambda: activator.held_bytes
        )
        patching = Patching(
            Bench(
                shelf=shelf,
                store=self._store,
                folders=self.folders,
                disk=self._disk,
                fetches=fetches,
                keyring=lambda: self._settings.keyring,
                ability=ability,
                want_manifest=line.want_manifest,
                now=time.monotonic,
                drill=self._drill,
            )
        )
        plans = PlanFetching(
            PlanBench(
                shelf=shelf,
                store=self._store,
                folders=self.folders,
                disk=self._disk,
                loader=self._loader,
                fetches=fetches,
                keyring=lambda: self._settings.keyring,
                ability=ability,
                hear=line.hear_plan,
                now=time.monotonic,
                drill=self._drill,
            )
        )
        journal = self.records.journal(front.table.stats, self._starts)
        reports = Reports(
            device=config.device,
            store=self._store,
            starts=self._starts,
            fingerprint=self._fingerprint,
            sources=Sources(
                manifest=shelf.manifest,
                served=front.table.served,
                wait=self._wait_of,
                patch_problem=patching.problem_of,
                plan_problem=plans.problem_of,
                doubts_clock=lambda: self._permit.doubts_clock,
                outbox=self.records.report,
                told=journal.reported,
            ),
            report_seconds=config.report_seconds,
            send=line.report,
        )
        self._take_up(config, fetches, reports)
        workshop = Workshop(
            store=self._store,
            folders=self.folders,
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
            plans=plans,
            trials=self._trials,
            activator=activator,
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
        self.installer = Installer(config.models, workshop)
        draining = self.records.drain(
            line,
            inbox.post,
            PRESETS[config.broker.preset].max_payload_bytes,
            topics=topics,
            keyring=lambda: self._settings.keyring,
        )
        return Control(self._settings, topics, inbox, line, workshop, self.installer, draining, journal)

    def _surroundings(self, line: Line) -> Surroundings:
        config = self._settings.config
        preset, pace = PRESETS[config.broker.preset], self._drill.pace
        return Surroundings(
            device=config.device,
            store=self._store,
            folders=self.folders,
            disk=self._disk,
            send=line.request,
            now=time.monotonic,
            max_frame_bytes=preset.max_payload_bytes,
            settings=replace(pace, max_window=min(pace.max_window, preset.max_window_bytes)),
            open_part=partial(Part, drill=self._drill),
            second=self._second,
            listen=line.listen if config.download.broadcast else None,
        )

    def _take_up(self, config: DeviceConfig, fetches: Fetches, reports: Reports) -> None:
        """Go by changed settings from now on, as far as `live` lists them."""
        self._disk_budget = config.disk_budget_bytes
        self._permit.follow(config)
        fetches.limit(config.download_bytes_per_second)
        reports.report_seconds = config.report_seconds
        self._surface.log_at(config.log)

    def _make_room(self, model: str, short_bytes: int, done: Callable[[], None]) -> bool:
        return self.installer is not None and self.installer.room.make(model, short_bytes, done)

    def _wait_of(self, model: str) -> Wait | None:
        return self.installer.wait_of(model) if self.installer is not None else None


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
