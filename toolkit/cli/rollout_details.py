"""What `tiers rollout status NAME` prints below the first line: waves, gates, and who has not got it and why."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from toolkit.cli.present import Table
from toolkit.errors import RolloutError

if TYPE_CHECKING:
    from toolkit.fleet.answers import Answer, WaveRow
    from toolkit.fleet.status import RolloutRow

_BAR = 24


def only(row: RolloutRow, device: str) -> RolloutRow:
    """Keep one device's answer; all of them when none is named.

    Raises:
        RolloutError: the device is not in the rollout.
    """
    if not device:
        return row
    answers = tuple(each for each in row.answers if each.device == device)
    if not answers:
        raise RolloutError(
            f"device {device!r} is not one of rollout {row.name}",
            hint=f"tiers rollout status {row.name} --all",
        )
    return replace(row, answers=answers)


def details_of(row: RolloutRow, *, everybody: bool) -> Iterator[Table]:
    """Give the tables below a rollout's line; `everybody` shows devices that have the version, too."""
    if row.why:
        yield Table((f"{row.name} ended, because",), [(row.why,)])
    yield Table(
        ("wave", "for", "has it", "refused", "waiting", ""),
        [
            (
                each.wave,
                each.label or "all",
                f"{each.active}/{each.devices}",
                each.refused,
                each.waiting,
                _bar(each),
            )
            for each in row.wave_rows
        ],
    )
    if row.gates:
        yield Table(
            ("gate", ""),
            [
                (each.text, "BROKEN" if each.broken else "good" if each.judged else "open")
                for each in row.gates
            ],
        )
    shown = [each for each in row.answers if everybody or (each.state != "ACTIVE" and each.wave <= row.wave)]
    if shown:
        yield Table(
            ("device", "wave", "state", "code", "reason", "attempt"),
            [
                (each.device, each.wave, _state(each), each.code, each.reason, each.attempt or "")
                for each in shown
            ],
        )


def _state(answer: Answer) -> str:
    state = answer.state or "not told yet"
    return f"{state}, offline" if answer.online is False else state


def _bar(wave: WaveRow) -> str:
    """Draw how much of a wave has the version (#), has refused it (x) or waits (-), on a terminal only."""
    if not sys.stdout.isatty() or not wave.devices:
        return ""
    done = _BAR * wave.active // wave.devices
    refused = -(-_BAR * wave.refused // wave.devices)
    return ("#" * done + "x" * refused).ljust(_BAR, "-")[:_BAR]
