"""What a rollout does next. Pure: a rollout, what the devices report, and the time give who shall run the version.

    Rollout + reports + presence + now --step--> Progress and two sets: who shall have it, who shall go back

The answer is the whole truth, not a change: a driver compares it with what it last wrote and writes what differs, so a
second driver, or the same one after a restart, says the same. Progress is what it cannot see in the reports: times, how
many are told, and the verdict. A driver keeps it in a retained `wire.course`, as times that have passed and never as
times of a day, so no clock has to be right: one that jumps ends nothing early.

Who comes first is in the order of the devices; `waves_tally` counts, `waves_gates` judges, `waves_pace` slows down.
Driven by `fleet.steer` and by the simulator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from types import MappingProxyType
from typing import Final

from toolkit.protocol.waves_gates import Gate, gates
from toolkit.protocol.waves_pace import Paced, paced
from toolkit.protocol.waves_tally import Tally, holds, refuses, tally
from toolkit.wire.digest import digest_of
from toolkit.wire.report import ModelReport
from toolkit.wire.rollout import Rollout, RolloutSpec

_MOST_NAMES = 5
NO_FIGURES: Final[Mapping[str, float]] = MappingProxyType({})


class RolloutState(str, Enum):
    """Where a rollout stands."""

    RUNNING = "RUNNING"
    SOAKING = "SOAKING"
    """A wave is done and is being watched."""
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    """The next wave begins when an operator says so."""
    PAUSED = "PAUSED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    """A gate is broken; no further device gets it."""
    TIMED_OUT = "TIMED_OUT"
    """The deadline passed before everybody had it; no further device gets it."""
    ABORTED = "ABORTED"
    """Stopped by the operator; who has the version keeps it."""
    ROLLING_BACK = "ROLLING_BACK"
    ROLLED_BACK = "ROLLED_BACK"


ENDED = frozenset(
    {
        RolloutState.SUCCEEDED,
        RolloutState.FAILED,
        RolloutState.TIMED_OUT,
        RolloutState.ABORTED,
        RolloutState.ROLLED_BACK,
    }
)
"""States in which nothing more happens by itself."""


@dataclass(frozen=True)
class Progress:
    """How far a rollout is. Begin with `Progress()`, or go on with what the last step gave."""

    state: RolloutState = RolloutState.RUNNING
    wave: int = 0
    """Number of the present wave, from 0."""
    soak_since: float | None = None
    """When the present wave was first seen done, in seconds of the driver's clock."""
    active: int = 0
    refused: int = 0
    waiting: int = 0
    """Devices of the present wave that are neither active nor refused; offline ones among them."""
    offline: int = 0
    """Of these, devices that are not connected."""
    told: int = 0
    """So many devices, from the first, have been told."""
    credit: float = 1.0
    """What the pace still allows."""
    began: float | None = None
    """When the first driver began, in seconds of the driver's clock; it moves on through a pause."""
    wave_since: float | None = None
    """Since when all of the present wave are told."""
    at: float | None = None
    """When the last step was taken."""
    why: str = ""
    """Why it failed or timed out; once it stands it stays, for the reports that said so may go away."""


@dataclass(frozen=True)
class Step:
    """What shall be so."""

    progress: Progress
    shall_have: tuple[str, ...] = ()
    """Devices whose desired document names the rollout's version."""
    take_back: tuple[str, ...] = ()
    """Devices whose desired document, if it names the version, shall name the previous one again."""
    attempts: Mapping[str, int] = field(default_factory=dict)
    """Of those that shall have it, devices that are asked once more -> the number of the attempt, from 2."""
    gates: tuple[Gate, ...] = ()
    """The conditions to fail, as they stand."""

    @cached_property
    def having(self) -> frozenset[str]:
        """The same devices as `shall_have`, to look one up among very many."""
        return frozenset(self.shall_have)

    @cached_property
    def going_back(self) -> frozenset[str]:
        """The same devices as `take_back`."""
        return frozenset(self.take_back)


def order_of(rollout: str, devices: tuple[str, ...]) -> tuple[str, ...]:
    """Put devices into the order in which a rollout takes them: stable, and another one for each rollout.

    By the digest of `rollout NUL device`, so that it is not always the same machines that go first.
    """
    return tuple(sorted(devices, key=lambda device: digest_of(f"{rollout}\0{device}".encode())))


def step(
    rollout: Rollout,
    reports: Mapping[str, ModelReport],
    progress: Progress,
    now: float,
    *,
    online: Mapping[str, bool] | None = None,
    figures: Mapping[str, float] = NO_FIGURES,
) -> Step:
    """Decide who shall run the version now.

    Args:
        rollout: the intent.
        reports: what each device last said of this model; a device that never reported is not in it.
        progress: what the last step gave.
        now: seconds of a clock that only grows.
        online: who is connected; a device that is not in it is not. None takes all for connected.
        figures: what Prometheus says, by the names of the rollout's queries; one that is not in it is not known.
    """
    elapsed = 0.0 if progress.at is None else max(now - progress.at, 0.0)
    seen = _Seen(rollout, reports, online, now, figures)
    before = _timed(seen, progress)
    if rollout.action == "rollback":
        return _roll_back(seen, before)
    while True:
        found = tally(rollout, reports, online, bounds(rollout.spec, before.wave), before.told)
        decided = _decide(seen, before, found, elapsed)
        if not isinstance(decided, Progress):
            return decided
        before, elapsed = replace(decided, wave=decided.wave + 1, soak_since=None, wave_since=None), 0.0


def bounds(spec: RolloutSpec, wave: int) -> tuple[int, int]:
    """Give where a wave begins and ends in the order of the devices."""
    if not spec.waves:
        return 0, len(spec.devices)
    wave = min(wave, len(spec.waves) - 1)
    return spec.waves[wave - 1].devices if wave else 0, min(spec.waves[wave].devices, len(spec.devices))


@dataclass(frozen=True)
class _Seen:
    """What a step is given."""

    rollout: Rollout
    reports: Mapping[str, ModelReport]
    online: Mapping[str, bool] | None
    now: float
    figures: Mapping[str, float]

    def connected(self, device: str) -> bool:
        return self.online is None or self.online.get(device, False)

    def works(self, position: int) -> bool:
        """Say whether a device, once it is told, has something to do and can."""
        spec = self.rollout.spec
        report = self.reports.get(spec.devices[position])
        return (
            self.connected(spec.devices[position]) and not holds(spec, report) and not refuses(spec, report)
        )

    def may_begin(self, wave: int) -> bool:
        waves = self.rollout.spec.waves
        return wave >= len(waves) or not waves[wave].approve or self.rollout.approved > wave


def _timed(seen: _Seen, progress: Progress) -> Progress:
    """Note the time of this step. What counts time moves on through a pause, and goes back with a clock that does."""
    if progress.at is None:
        return replace(progress, at=seen.now, began=seen.now if progress.began is None else progress.began)
    passed = seen.now - progress.at
    moved = passed if seen.rollout.action == "pause" or passed < 0 else 0.0
    began, wave_since, soak_since = (
        None if since is None else since + moved
        for since in (progress.began, progress.wave_since, progress.soak_since)
    )
    return replace(progress, at=seen.now, began=began, wave_since=wave_since, soak_since=soak_since)


def _decide(seen: _Seen, before: Progress, found: Tally, elapsed: float) -> Step | Progress:
    """Give what follows in the present wave, or its progress when the next one may begin."""
    spec, action = seen.rollout.spec, seen.rollout.action
    stands = gates(spec, found, seen.figures)
    counted = replace(
        before, active=found.active, refused=found.refused, waiting=found.waiting, offline=found.offline
    )
    if action == "abort":
        return _stop(seen, counted, RolloutState.ABORTED, stands)
    if before.state is RolloutState.SUCCEEDED:
        # What a device that comes back later says is shown, and judges nobody else any more.
        return _going(seen, counted, RolloutState.SUCCEEDED, found, stands)
    if before.state is RolloutState.TIMED_OUT:
        return _stop(seen, counted, RolloutState.TIMED_OUT, stands)
    why = before.why or next((str(gate) for gate in stands if gate.broken), "")
    why = why or _too_few(seen, counted, found)
    if why:
        return _fail(seen, replace(counted, why=why), stands)
    if action == "pause":
        return _going(seen, replace(counted, soak_since=None), RolloutState.PAUSED, found, stands)
    if spec.deadline_seconds is not None and seen.now - (before.began or 0.0) >= spec.deadline_seconds:
        return _stop(seen, replace(counted, why=_late(seen)), RolloutState.TIMED_OUT, stands)
    if not seen.may_begin(before.wave):
        return _going(seen, counted, RolloutState.AWAITING_APPROVAL, found, stands)
    return _advance(seen, counted, found, stands, elapsed)


def _advance(
    seen: _Seen, counted: Progress, found: Tally, stands: tuple[Gate, ...], elapsed: float
) -> Step | Progress:
    """Tell more of the present wave, wait for it, or watch it; give its progress when the next one may begin."""
    spec, reach = seen.rollout.spec, bounds(seen.rollout.spec, counted.wave)[1]
    after = paced(
        spec.pace, Paced(counted.told, counted.credit), reach,
        active=found.active, in_flight=found.in_flight, elapsed=elapsed, works=seen.works,
    )  # fmt: skip
    since = seen.now if counted.wave_since is None and after.told >= reach else counted.wave_since
    counted = replace(counted, told=after.told, credit=after.credit, wave_since=since)
    if not _done(seen, counted, found):
        return _going(seen, replace(counted, soak_since=None), RolloutState.RUNNING, found, stands)
    soaks = seen.now if counted.soak_since is None else counted.soak_since
    counted = replace(counted, soak_since=soaks)
    unknown = any(query.name not in seen.figures for query in spec.queries)
    if unknown or seen.now - soaks < spec.soak_seconds:
        return _going(seen, counted, RolloutState.SOAKING, found, stands)
    if counted.wave + 1 >= len(spec.waves):
        return _going(seen, counted, RolloutState.SUCCEEDED, found, stands)
    if not seen.may_begin(counted.wave + 1):
        return _going(seen, counted, RolloutState.AWAITING_APPROVAL, found, stands)
    return counted


def _done(seen: _Seen, counted: Progress, found: Tally) -> bool:
    """Say whether the next wave may begin, as far as this one's devices go."""
    spec = seen.rollout.spec
    if counted.told < bounds(spec, counted.wave)[1]:
        return False
    waived = _waived(seen, counted)
    nobody = found.wave_size > 0 and not found.wave_active + found.wave_refused
    if nobody and counted.wave + 1 < len(spec.waves):
        return False  # all of it is offline: the next wave would be the first to try the version
    if spec.success:
        return found.wave_active >= _needed(spec, found.wave_size - waived * found.wave_offline)
    return found.waiting - waived * found.offline <= 0


def _waived(seen: _Seen, counted: Progress) -> bool:
    """Say whether the wave has waited long enough for those who are offline."""
    grace = seen.rollout.spec.offline_grace_seconds
    return grace is not None and counted.wave_since is not None and seen.now - counted.wave_since >= grace


def _needed(spec: RolloutSpec, devices: int) -> int:
    return math.ceil(round(spec.success * devices, 6))


def _too_few(seen: _Seen, counted: Progress, found: Tally) -> str:
    """Say so when a wave has come to its end and fewer have the version than `success` asks for."""
    spec, reach = seen.rollout.spec, bounds(seen.rollout.spec, counted.wave)[1]
    if not spec.success or counted.told < reach:
        return ""
    waived = _waived(seen, counted) * found.wave_offline
    here = found.wave_size - waived
    open_still = here - found.wave_active - found.wave_refused
    if open_still > 0 or not found.wave_refused or found.wave_active >= _needed(spec, here):
        return ""
    return (
        f"{found.wave_active} of {here} devices of wave {counted.wave + 1} have it,"
        f" {_needed(spec, here)} are needed ({100 * spec.success:.3g} %)"
    )


def _late(seen: _Seen) -> str:
    """Name who does not have the version when the deadline has passed."""
    spec = seen.rollout.spec
    missing = [device for device in spec.devices if not holds(spec, seen.reports.get(device))]
    names = ", ".join(missing[:_MOST_NAMES]) + (", …" if len(missing) > _MOST_NAMES else "")
    return f"{len(missing)} of {len(spec.devices)} devices do not have it after {spec.deadline_seconds:,.0f} s: {names}"


def _going(
    seen: _Seen, counted: Progress, state: RolloutState, found: Tally, stands: tuple[Gate, ...]
) -> Step:
    """Let everybody who was told have it."""
    return Step(
        replace(counted, state=state), seen.rollout.spec.devices[: counted.told], (), found.attempts, stands
    )


def _stop(seen: _Seen, counted: Progress, state: RolloutState, stands: tuple[Gate, ...]) -> Step:
    """Let nobody else get it. Who refused keeps the document that it refused: its report is the evidence."""
    spec, reports = seen.rollout.spec, seen.reports
    holders = tuple(device for device in spec.devices if holds(spec, reports.get(device)))
    pending = tuple(
        device
        for device in spec.devices
        if not holds(spec, reports.get(device)) and not refuses(spec, reports.get(device))
    )
    return Step(replace(counted, state=state, soak_since=None), holders, pending, gates=stands)


def _fail(seen: _Seen, counted: Progress, stands: tuple[Gate, ...]) -> Step:
    """Stop, or take it back from everybody but those who refused it: they run the one before already."""
    if seen.rollout.spec.on_failure == "stop":
        return _stop(seen, counted, RolloutState.FAILED, stands)
    spec, reports = seen.rollout.spec, seen.reports
    back = tuple(device for device in spec.devices if not refuses(spec, reports.get(device)))
    left = _left(seen)
    over = not left or counted.state is RolloutState.FAILED
    state = RolloutState.FAILED if over else RolloutState.ROLLING_BACK
    return Step(replace(counted, state=state, waiting=left, soak_since=None), (), back, gates=stands)


def _roll_back(seen: _Seen, before: Progress) -> Step:
    left = _left(seen)
    state = RolloutState.ROLLING_BACK if left else RolloutState.ROLLED_BACK
    after = replace(before, state=state, waiting=left, offline=0, active=0, refused=0, soak_since=None)
    return Step(after, (), seen.rollout.spec.devices)


def _left(seen: _Seen) -> int:
    """Count who still serves the version; whoever is offline goes back when it returns."""
    spec, reports = seen.rollout.spec, seen.reports
    return sum(
        1
        for device in spec.devices
        if device in reports and reports[device].serving_version == spec.version and seen.connected(device)
    )
