"""A rollout rehearsed on a real broker, in three acts: a depot and a driver as in production, simulated devices.

    1. every device gets the first version;  2. the second one goes through canary and waves while devices come and go;
    3. the third one is broken on some devices, must stop, and is taken back

Called by `tiers fleet simulate` and the fleet test; played on a `stage`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from toolkit.fleet.broker import start_broker
from toolkit.fleet.simulate.faults import character_of
from toolkit.fleet.simulate.process import ask_for_files, peak_memory
from toolkit.fleet.simulate.stage import MODEL, VERSIONS, FleetPlan, Stage
from toolkit.link.settings import LinkSettings, settings_from_url
from toolkit.protocol.waves import ENDED, Progress, RolloutState, order_of
from toolkit.topology.shares import Share
from toolkit.wire.desired import decode_desired
from toolkit.wire.report import ModelReport
from toolkit.wire.rollout import Limit, Rollout, RolloutSpec, Wave
from toolkit.wire.signature import unseal
from toolkit.wire.states import InstallState

Told = Callable[[str, Progress], None]
"""Gets the name of the rollout that runs and how far it is, again and again."""


@dataclass(frozen=True)
class Course:
    """How a version goes through the fleet."""

    waves: tuple[Wave, ...]
    soak_seconds: float = 1.0
    max_failed: int = 0
    limits: tuple[Limit, ...] = ()
    on_failure: Literal["stop", "take-back"] = "stop"
    patience_seconds: float = 120.0


@dataclass(frozen=True)
class Rules:
    """The rules under which versions go through the fleet, healthy and broken ones alike."""

    shares: tuple[Share, ...] = tuple(map(Share.parse, ("5%", "25%", "100%")))  # frozen
    """How much of the fleet has the version after each wave; the first one is the canary."""
    soak_seconds: float = 1.0
    limit: float = 0.06
    """Part, from 0 to 1, of the devices of a wave that may refuse."""
    executed: float = 0.5
    """It is judged when this part of the fleet, or all of a smaller wave, has come to an end. Refusing is quicker than
    installing, so a judgement on the first few would be one on those who refuse."""
    patience_seconds: float = 120.0
    """How long a rollout may take."""

    def course(self, devices: int) -> Course:
        """Give what they mean for a fleet of so many devices."""
        reach = {share.of(devices) for share in self.shares} | {devices}
        return Course(
            waves=tuple(Wave(devices=each) for each in sorted(reach)),
            soak_seconds=self.soak_seconds,
            max_failed=devices,
            limits=(Limit(share=self.limit, executed=int(self.executed * devices)),),
            on_failure="take-back",
            patience_seconds=self.patience_seconds,
        )

    def everybody(self, devices: int) -> Course:
        """Give how the first version comes to all at once."""
        whole = (Wave(devices=devices),)
        return Course(waves=whole, soak_seconds=0.0, patience_seconds=self.patience_seconds)


@dataclass(frozen=True)
class Act:
    """How a rollout went."""

    version: str
    state: str
    wave: int
    """The last wave that began, from 1."""
    waves: int
    seconds: float
    touched: int
    """Devices that were told to run the version."""
    active: int
    """Devices that run it at the end."""
    refused: int
    bytes_median: int
    """Stored bytes that a device received for it, in the middle."""
    bytes_most: int
    reports: int
    """Reports that the driver heard meanwhile."""
    looks: int
    """Times that the driver decided meanwhile."""


@dataclass(frozen=True)
class Played:
    """A whole rehearsal."""

    devices: int
    seed: int
    kinds: dict[str, int]
    """How many devices were healthy, offline, bad, flapping."""
    acts: tuple[Act, ...]
    back: int
    """Devices that serve a version before the broken one at the end."""
    sent_bytes: int
    """Payload that a device sent, on average."""
    heard_bytes: int
    outages: int
    depot_bytes: int
    connect_seconds: float
    broker_bytes: int
    """Most memory that the broker had, when it is ours; 0 when nobody knows."""

    @property
    def good(self) -> bool:
        """Whether the healthy version came through, and the broken one went no further than its canary."""
        _, healthy, broken = self.acts
        through = healthy.state == RolloutState.SUCCEEDED.value
        stopped = broken.state == RolloutState.FAILED.value and broken.wave == 1
        return through and stopped and self.back == self.devices


def rehearse(
    plan: FleetPlan, rules: Rules, settings: LinkSettings | None, folder: Path, told: Told = lambda *_: None
) -> Played:
    """Play a whole rehearsal. The process may have as many open files as the system allows it from then on.

    Args:
        plan: the fleet.
        rules: for all versions but the first.
        settings: of a broker; None starts one on this machine for the time of the rehearsal.
        folder: for the registry and the broker's files; not there yet, or empty.
        told: gets the progress.

    Raises:
        UsageError: the site has devices of such names.
        UnreachableError: the broker does not answer.
        TiersError: something took longer than the rules allow.
    """
    ask_for_files()
    broker = start_broker(folder / "broker") if settings is None else None
    try:
        at = settings or settings_from_url(broker.url if broker else "", "rehearsal")
        stage = Stage(plan, at, folder / "registry", clears=broker is None)
        try:
            stage.open()
            played = play(stage, rules, told)
        finally:
            stage.close()
        return replace(played, broker_bytes=peak_memory(broker.process.pid)) if broker else played
    finally:
        if broker is not None:
            broker.stop()


def play(stage: Stage, rules: Rules, told: Told = lambda *_: None) -> Played:
    """Play all three acts on a stage that is open.

    Raises:
        TiersError: something took longer than its course allows.
    """
    began = time.monotonic()
    names = set(stage.plan.names)
    retained = stage.retained
    patience, course = rules.patience_seconds, rules.course(stage.plan.devices)
    stage.wait_for(lambda: _online(retained.online, names), patience, "all devices connected")
    connected = time.monotonic()
    acts = [roll_out(stage, VERSIONS[0], "", rules.everybody(stage.plan.devices), told)]
    stage.begin_faults()
    acts.append(roll_out(stage, VERSIONS[1], VERSIONS[0], course, told))
    stage.end_faults()
    stage.wait_for(lambda: _online(retained.online, names), patience, "all devices back on the network")
    acts.append(roll_out(stage, VERSIONS[2], VERSIONS[1], course, told))
    broke = VERSIONS[2]
    if acts[-1].state == RolloutState.FAILED.value:
        stage.wait_for(
            lambda: all(each.serving_version != broke for each in said_of(stage).values()),
            patience,
            f"nobody serves {broke}",
        )
    traffic = stage.traffic()
    kinds = [character_of(name, stage.plan.seed, stage.plan.faults).kind for name in stage.plan.names]
    serving = [said.serving_version for said in said_of(stage).values()]
    count = max(1, stage.plan.devices)
    return Played(
        devices=stage.plan.devices,
        seed=stage.plan.seed,
        kinds={kind: kinds.count(kind) for kind in sorted(set(kinds))},
        acts=tuple(acts),
        back=len(serving) - serving.count(VERSIONS[2]) - serving.count(""),
        sent_bytes=traffic.sent // count,
        heard_bytes=traffic.heard // count,
        outages=traffic.outages,
        depot_bytes=stage.depot.counters.bytes_sent,
        connect_seconds=connected - began,
        broker_bytes=0,
    )


def roll_out(stage: Stage, version: str, previous: str, course: Course, told: Told) -> Act:
    """Start a rollout and wait until it has ended, one way or another.

    Raises:
        TiersError: it took longer than the course allows.
    """
    before = {device: said.bytes_received for device, said in said_of(stage).items()}
    position, began = len(stage.driver.journal.entries), time.monotonic()
    rollout = rollout_of(stage, version, previous, course)
    stage.publish(rollout)

    def ended() -> bool:
        progress = stage.driver.steering.progress.get(rollout.name)
        if progress is None:
            return False
        told(version, progress)
        return progress.state in ENDED

    stage.wait_for(ended, course.patience_seconds, f"the rollout of {version} has ended")
    seconds = time.monotonic() - began
    progress = stage.driver.steering.progress[rollout.name]
    said = said_of(stage)
    touched = touched_by(stage, version, position)
    entries = stage.driver.journal.entries[position:]
    fetched = [said[each].bytes_received - before.get(each, 0) for each in touched if each in said] or [0]
    return Act(
        version=version,
        state=progress.state.value,
        wave=progress.wave + 1,
        waves=len(course.waves),
        seconds=seconds,
        touched=len(touched),
        active=sum(1 for each in said.values() if has(each, version)),
        refused=progress.refused,
        bytes_median=int(statistics.median(fetched)),
        bytes_most=max(fetched),
        reports=sum(1 for each in entries if each.kind == "heard" and each.topic.endswith("/st")),
        looks=sum(1 for each in entries if each.kind == "looked"),
    )


def rollout_of(stage: Stage, version: str, previous: str, course: Course) -> Rollout:
    """Give the intent, as `fleet.rollout` would write it."""
    name = _name(version)
    spec = RolloutSpec(
        model=MODEL,
        version=version,
        artifact=stage.artifacts[version],
        devices=order_of(name, stage.plan.names),
        waves=course.waves,
        previous_version=previous,
        previous_artifact=stage.artifacts[previous] if previous else "",
        soak_seconds=course.soak_seconds,
        max_failed=course.max_failed,
        limits=course.limits,
        on_failure=course.on_failure,
    )
    return Rollout(name=name, number=VERSIONS.index(version) + 1, seq=1, spec=spec)


def said_of(stage: Stage) -> dict[str, ModelReport]:
    """Give what each device last said of the model."""
    return {device: said for device, report in list(stage.retained.reports.items()) for said in report.models}


def has(said: ModelReport, version: str) -> bool:
    """Say whether a device runs a version for good."""
    return said.state is InstallState.ACTIVE and said.serving_version == version


def touched_by(stage: Stage, version: str, position: int) -> set[str]:
    """Give the devices that were told to run a version, by the driver's journal from an entry on."""
    touched = set()
    for entry in list(stage.driver.journal.entries[position:]):
        if entry.kind == "wrote":
            device = stage.topics.device_of(entry.topic)
            payload = unseal(entry.payload, "desired", stage.keyring, what="desired state")
            if any(each.version == version for each in decode_desired(payload, device).models):
                touched.add(device)
    return touched


def _name(version: str) -> str:
    return f"{MODEL}-{version}"


def _online(online: dict[str, bool], names: set[str]) -> bool:
    return sum(1 for name in names if online.get(name)) == len(names)
