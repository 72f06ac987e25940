"""What each device of a rollout answers, and the same counted by wave. Pure; `status` puts it into its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolkit.fleet.retained import Retained
from toolkit.fleet.text import clean
from toolkit.fleet.wanted import entry_of, reports_of
from toolkit.protocol.waves import bounds
from toolkit.protocol.waves_tally import REFUSED
from toolkit.wire.desired import Desired
from toolkit.wire.report import ModelReport
from toolkit.wire.rollout import Rollout, read_attempt
from toolkit.wire.states import InstallState

SILENT = "SILENT"
"""State of a device that was told and has not said a word of the version."""
SAID_NO = frozenset(state.value for state in REFUSED)
"""States of an answer that is no."""


@dataclass(frozen=True)
class Answer:
    """Where a device stands with a rollout, and why."""

    device: str
    wave: int
    """In which it is, from 1."""
    state: str
    """What it says of this version; empty when it was not told yet, SILENT when it was and says nothing of it."""
    code: str
    reason: str
    online: bool | None
    attempt: int
    """How often it was asked."""
    requests: int
    """That the version has answered there, or failed."""
    failures: int


@dataclass(frozen=True)
class WaveRow:
    """The devices that a wave adds, by where they stand."""

    wave: int
    """From 1."""
    label: str
    devices: int
    active: int
    refused: int
    waiting: int
    """Told, and neither."""
    approve: bool
    """It waits, or has waited, for an operator's word."""


def told_by(rollout: Rollout, desired: Mapping[str, Desired]) -> dict[str, int]:
    """Give the devices whose desired state names the version -> the attempt that it asks for."""
    found = {}
    for device in rollout.spec.devices:
        entry = entry_of(rollout, desired.get(device))
        if entry is not None:
            found[device] = read_attempt(entry.rollout)[1]
    return found


def answers_of(retained: Retained, rollout: Rollout, told: Mapping[str, int]) -> tuple[Answer, ...]:
    """Give every device's answer, in the order of the rollout."""
    said = reports_of(rollout, retained.reports)
    return tuple(
        Answer(
            device=device,
            wave=wave + 1,
            state=report.state.value if report else SILENT if device in told else "",
            code=clean(report.code) if report else "",
            reason=clean(report.reason) if report else "",
            online=retained.online.get(device),
            attempt=told.get(device, 0),
            requests=report.served.requests if report else 0,
            failures=report.served.failures if report else 0,
        )
        for wave in range(max(len(rollout.spec.waves), 1))
        for device in rollout.spec.devices[slice(*bounds(rollout.spec, wave))]
        for report in [_of_version(rollout, said, device)]
    )


def _of_version(rollout: Rollout, said: Mapping[str, ModelReport], device: str) -> ModelReport | None:
    report = said.get(device)
    return report if report is not None and report.artifact == rollout.spec.artifact else None


def wave_rows(rollout: Rollout, answers: Sequence[Answer]) -> tuple[WaveRow, ...]:
    """Count the answers of each wave's own devices."""
    rows = []
    for number, wave in enumerate(rollout.spec.waves, 1):
        own = [each for each in answers if each.wave == number]
        active = sum(1 for each in own if each.state == InstallState.ACTIVE.value)
        refused = sum(1 for each in own if each.state in SAID_NO)
        begun = sum(1 for each in own if each.state)
        waiting = begun - active - refused
        rows.append(WaveRow(number, wave.label, len(own), active, refused, waiting, wave.approve))
    return tuple(rows)
