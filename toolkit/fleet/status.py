"""What the devices report, as rows: each device with each model, each rollout with its wave and its counts.

Where a rollout stands is computed anew from the intent, the desired states and the reports, by the same
`waves.step` that steers it; so whoever asks gets the answer that a driver would act on. What only a driver knows stands
in the rollout's course; before there is one, a single look counts the soak of the last wave as over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from toolkit.fleet.answers import SAID_NO, Answer, WaveRow, answers_of, told_by, wave_rows
from toolkit.fleet.course import progress_of
from toolkit.fleet.retained import Retained
from toolkit.fleet.text import clean
from toolkit.fleet.wanted import leading, reports_of, resume
from toolkit.protocol.waves import ENDED, NO_FIGURES, Progress, RolloutState, Step, bounds, step
from toolkit.protocol.waves_gates import Gate
from toolkit.wire.report import ModelReport
from toolkit.wire.rollout import Rollout
from toolkit.wire.states import InstallState

SUPERSEDED = "SUPERSEDED"
"""State of a rollout after which a newer one of the same model has begun."""
_ENDED = frozenset({SUPERSEDED, *(state.value for state in ENDED)})


@dataclass(frozen=True)
class DeviceRow:
    """Where a device stands with one model. What a device says is shown with its control characters taken out."""

    device: str
    online: bool | None
    """None when nobody knows."""
    model: str = ""
    """Empty when the device has reported no model."""
    state: str = ""
    version: str = ""
    """The version that `state` speaks of."""
    serving_version: str = ""
    desired_version: str = ""
    rollout: str = ""
    code: str = ""
    reason: str = ""
    progress: float = 0.0
    """Part of the chunks that the device has, 0 to 1."""
    chunks_total: int = 0
    chunks_have: int = 0
    chunks_seeded: int = 0
    chunks_bad: int = 0
    bytes_received: int = 0
    bytes_resent: int = 0
    starts: int = 0
    """How often the daemon has started."""


@dataclass(frozen=True)
class Refusal:
    """A device that said no."""

    device: str
    state: str
    code: str
    reason: str


@dataclass(frozen=True)
class GateRow:
    """A condition to fail, with its figures."""

    name: str
    text: str
    """For people, such as `error rate 0.4 % of 1,204 requests, limit 1 %`."""
    unit: str
    value: float
    limit: float
    of: int
    needs: int
    judged: bool
    broken: bool


@dataclass(frozen=True)
class RolloutRow:
    """Where a rollout stands."""

    name: str
    number: int
    model: str
    version: str
    previous_version: str
    action: str
    state: str
    wave: int
    """Number of the present wave, from 1."""
    waves: int
    devices: int
    active: int
    refused: int
    waiting: int
    refusals: tuple[Refusal, ...] = ()
    missing: tuple[str, ...] = ()
    """Devices of the present wave that have not answered."""
    untold: tuple[str, ...] = ()
    """Of these, devices whose desired state does not name the version yet: nobody steers, or not yet."""
    offline: int = 0
    """Of those that wait: not connected."""
    told: int = 0
    """So many devices, from the first, have been told."""
    why: str = ""
    """Why it failed or timed out."""
    wave_rows: tuple[WaveRow, ...] = ()
    gates: tuple[GateRow, ...] = ()
    answers: tuple[Answer, ...] = ()
    """Of every device of the rollout, in its order."""

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.state in _ENDED


@dataclass(frozen=True)
class FleetStatus:
    """All devices and rollouts of a site."""

    devices: tuple[DeviceRow, ...]
    rollouts: tuple[RolloutRow, ...]
    ignored: dict[str, str]
    """Topic -> why its document does not count."""


def fleet_status(retained: Retained) -> FleetStatus:
    """Give a row for each device and model, and one for each rollout, newest first."""
    rows = tuple(row for device in _devices(retained) for row in _rows_of(retained, device))
    return FleetStatus(rows, rollout_rows(retained), dict(retained.ignored))


def rollout_rows(retained: Retained) -> tuple[RolloutRow, ...]:
    """Give a row for each rollout, newest first; without the answers of devices, which one asks of one rollout."""
    rollouts = sorted(retained.rollouts.values(), key=lambda each: (-each.number, each.name))
    return tuple(replace(rollout_row(retained, each), answers=()) for each in rollouts)


def rollout_row(retained: Retained, rollout: Rollout) -> RolloutRow:
    """Look once at a rollout."""
    decided = look(retained, rollout, Progress(), 0.0)
    last = decided.progress.wave + 1 >= len(rollout.spec.waves) and rollout.name not in retained.courses
    if decided.progress.state is RolloutState.SOAKING and last:
        decided = look(retained, rollout, decided.progress, rollout.spec.soak_seconds)
    return row_of(retained, rollout, decided)


def look(retained: Retained, rollout: Rollout, progress: Progress, now: float) -> Step:
    """Give where a rollout stands: by its driver's course, or going on from `progress` when nobody wrote one.

    Args:
        retained: what the site says.
        rollout: one of its rollouts.
        progress: what the last look gave.
        now: seconds of a clock that only grows.
    """
    course = retained.courses.get(rollout.name)
    before = progress if course is None else progress_of(rollout, course, now)
    before = resume(rollout, retained.desired, before)
    figures = course.figures if course is not None else NO_FIGURES
    reports = reports_of(rollout, retained.reports)
    return step(rollout, reports, before, now, online=retained.online, figures=figures)


def row_of(retained: Retained, rollout: Rollout, decided: Step) -> RolloutRow:
    """Write a row about a rollout that stands where a step of it says."""
    spec, progress = rollout.spec, decided.progress
    superseded = leading(retained.rollouts.values())[spec.model].name != rollout.name
    told = told_by(rollout, retained.desired)
    answers = answers_of(retained, rollout, told)
    reach = bounds(spec, progress.wave)[1]
    missing = tuple(
        each.device
        for each in answers[:reach]
        if each.state not in SAID_NO and each.state != InstallState.ACTIVE.value
    )
    running = rollout.action == "run" and not superseded
    return RolloutRow(
        name=rollout.name,
        number=rollout.number,
        model=spec.model,
        version=spec.version,
        previous_version=spec.previous_version,
        action=rollout.action,
        state=SUPERSEDED if superseded else progress.state.value,
        wave=progress.wave + 1,
        waves=max(len(spec.waves), 1),
        devices=len(spec.devices),
        active=progress.active,
        refused=progress.refused,
        waiting=progress.waiting,
        refusals=tuple(
            Refusal(each.device, each.state, each.code, each.reason)
            for each in answers
            if each.state in SAID_NO
        ),
        missing=missing if not superseded else (),
        untold=tuple(device for device in missing if running and device not in told),
        offline=progress.offline,
        told=progress.told,
        why=progress.why,
        wave_rows=wave_rows(rollout, answers),
        gates=tuple(_gate_row(gate) for gate in decided.gates),
        answers=answers,
    )


def _devices(retained: Retained) -> list[str]:
    return sorted({*retained.reports, *retained.online, *retained.desired})


def _rows_of(retained: Retained, device: str) -> list[DeviceRow]:
    report = retained.reports.get(device)
    desired = retained.desired.get(device)
    wanted = {entry.model: entry.version for entry in desired.models} if desired else {}
    said = {each.model: each for each in report.models} if report else {}
    online = retained.online.get(device)
    bare = DeviceRow(device=device, online=online, starts=report.starts if report else 0)
    rows = []
    for model in sorted({*wanted, *said}):
        row = replace(bare, model=clean(model), desired_version=wanted.get(model, ""))
        rows.append(_reported(row, said[model]) if model in said else row)
    return rows or [bare]


def _reported(row: DeviceRow, said: ModelReport) -> DeviceRow:
    share = said.chunks_have / said.chunks_total if said.chunks_total > 0 else 0.0
    return replace(
        row,
        state=said.state.value,
        version=clean(said.version),
        serving_version=clean(said.serving_version),
        rollout=clean(said.rollout),
        code=clean(said.code),
        reason=clean(said.reason),
        progress=round(min(max(share, 0.0), 1.0), 3),
        chunks_total=said.chunks_total,
        chunks_have=said.chunks_have,
        chunks_seeded=said.chunks_seeded,
        chunks_bad=said.chunks_bad,
        bytes_received=said.bytes_received,
        bytes_resent=said.bytes_resent,
    )


def _gate_row(gate: Gate) -> GateRow:
    return GateRow(
        name=gate.name,
        text=str(gate),
        unit=gate.unit,
        value=round(gate.value, 6),
        limit=gate.limit,
        of=gate.of,
        needs=gate.needs,
        judged=gate.judged,
        broken=gate.broken,
    )
