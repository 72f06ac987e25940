"""What a rollout does next. Pure: a rollout, what the devices report, and the time give who shall run the version.

    Rollout + reports + now --step--> Progress for people and two sets: who shall have it, who shall go back

The answer is the whole truth, not a change: a driver compares it with what it last wrote and writes what differs, so a
second driver, or the same one after a restart, says the same. Only the start of a soak is remembered in Progress; a new
driver soaks again, which errs on the safe side. Driven by `fleet.rollout`, and later by the simulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from toolkit.wire.digest import digest_of
from toolkit.wire.report import ModelReport
from toolkit.wire.rollout import Rollout, RolloutSpec
from toolkit.wire.states import InstallState


class RolloutState(str, Enum):
    """Where a rollout stands."""

    RUNNING = "RUNNING"
    SOAKING = "SOAKING"
    """A wave is done and is being watched."""
    PAUSED = "PAUSED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    """More devices than allowed refused the version; no further device gets it."""
    ABORTED = "ABORTED"
    """Stopped by the operator; who has the version keeps it."""
    ROLLING_BACK = "ROLLING_BACK"
    ROLLED_BACK = "ROLLED_BACK"


ENDED = frozenset(
    {RolloutState.SUCCEEDED, RolloutState.FAILED, RolloutState.ABORTED, RolloutState.ROLLED_BACK}
)
"""States in which nothing more happens by itself."""

_REFUSED = frozenset({InstallState.REJECTED, InstallState.FAILED, InstallState.ROLLED_BACK})


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


@dataclass(frozen=True)
class Step:
    """What shall be so."""

    progress: Progress
    shall_have: tuple[str, ...] = ()
    """Devices whose desired document names the rollout's version."""
    take_back: tuple[str, ...] = ()
    """Devices whose desired document, if it names the version, shall name the previous one again."""


def order_of(rollout: str, devices: tuple[str, ...]) -> tuple[str, ...]:
    """Put devices into the order in which a rollout takes them: stable, and another one for each rollout.

    By the digest of `rollout NUL device`, so that it is not always the same machines that go first.
    """
    return tuple(sorted(devices, key=lambda device: digest_of(f"{rollout}\0{device}".encode())))


def step(rollout: Rollout, reports: Mapping[str, ModelReport], progress: Progress, now: float) -> Step:
    """Decide who shall run the version now.

    Args:
        rollout: the intent.
        reports: what each device last said of this model; a device that never reported is not in it.
        progress: what the last step gave.
        now: seconds of a clock that only grows.
    """
    spec = rollout.spec
    if rollout.action == "rollback":
        return _roll_back(spec, reports, progress)
    reached = _reached(spec, progress.wave)
    counted = _count(spec, reached, reports, progress)
    if rollout.action == "abort":
        return _stop(spec, reports, counted, RolloutState.ABORTED)
    if counted.refused > spec.max_failed:
        return _stop(spec, reports, counted, RolloutState.FAILED)
    if rollout.action == "pause":
        return Step(replace(counted, state=RolloutState.PAUSED, soak_since=None), reached)
    if counted.waiting:
        return Step(replace(counted, state=RolloutState.RUNNING, soak_since=None), reached)
    since = now if counted.soak_since is None else counted.soak_since
    if now - since < spec.soak_seconds:
        return Step(replace(counted, state=RolloutState.SOAKING, soak_since=since), reached)
    if progress.wave + 1 >= len(spec.waves):
        return Step(replace(counted, state=RolloutState.SUCCEEDED, soak_since=since), reached)
    return step(rollout, reports, Progress(wave=progress.wave + 1), now)


def _stop(
    spec: RolloutSpec, reports: Mapping[str, ModelReport], counted: Progress, state: RolloutState
) -> Step:
    """Let nobody else get it. Who refused keeps the document that it refused: its report is the evidence."""
    holders = tuple(device for device in spec.devices if _has(spec, reports.get(device)))
    pending = tuple(
        device
        for device in spec.devices
        if not _has(spec, reports.get(device)) and not _refuses(spec, reports.get(device))
    )
    return Step(replace(counted, state=state, soak_since=None), holders, pending)


def _roll_back(spec: RolloutSpec, reports: Mapping[str, ModelReport], progress: Progress) -> Step:
    waiting = sum(
        1 for device in spec.devices if device in reports and reports[device].serving_version == spec.version
    )
    state = RolloutState.ROLLING_BACK if waiting else RolloutState.ROLLED_BACK
    return Step(Progress(state, progress.wave, waiting=waiting), (), spec.devices)


def _reached(spec: RolloutSpec, wave: int) -> tuple[str, ...]:
    return spec.devices[: spec.waves[min(wave, len(spec.waves) - 1)].devices] if spec.waves else spec.devices


def _count(
    spec: RolloutSpec, reached: tuple[str, ...], reports: Mapping[str, ModelReport], progress: Progress
) -> Progress:
    active = sum(1 for device in reached if _has(spec, reports.get(device)))
    refused = sum(1 for device in spec.devices if _refuses(spec, reports.get(device)))
    waiting = sum(
        1
        for device in reached
        if not _has(spec, reports.get(device)) and not _refuses(spec, reports.get(device))
    )
    return replace(progress, active=active, refused=refused, waiting=waiting)


def _has(spec: RolloutSpec, report: ModelReport | None) -> bool:
    return report is not None and report.state is InstallState.ACTIVE and report.artifact == spec.artifact


def _refuses(spec: RolloutSpec, report: ModelReport | None) -> bool:
    return report is not None and report.state in _REFUSED and report.artifact == spec.artifact
