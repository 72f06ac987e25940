"""How far a model's service is cut back while its machine is under pressure: a pure state machine, one for each model.

`desk` measures the Pressure some times a second, calls `Ladder.step`, and passes questions by `Ladder.rung`. Each rung
keeps what those below it do:

    FALLBACK      the smaller model answers, except emergencies
    LARGER        calls of the engine may have more rows
    OFFLOAD       another machine answers, except emergencies
    SHED_BATCH    batch requests are refused
    SHED_NORMAL   normal requests are refused too, only emergencies are left

A rung that a model has no means for is left out. Cutting back one class helps the others alone, so a rung looks at
those that it helps: a flood of batch requests never leads to SHED_NORMAL, nor one of normal requests; the waiting room
refuses the excess of a flood anyway, and the engine goes on working. Heat concerns every rung, but those that shed only
when it is near to where the machine stops; throttling only those that still answer everybody, because some boards are
throttled for as long as they run.

Up goes one rung when the pressure has lasted for `up_seconds`, down one rung when there has been calm for
`down_seconds`; what is neither pressure nor calm leaves it where it is. Who climbs again soon after a step down stays
longer the next time (twice as long, up to eight times), so that a load that only the lower rung bears does not make it
swing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from edge_runtime.serving.ask import Priority


class Rung(IntEnum):
    """How far the service is cut back."""

    FULL = 0
    FALLBACK = 1
    LARGER = 2
    OFFLOAD = 3
    SHED_BATCH = 4
    SHED_NORMAL = 5


HELPED: Final = {Rung.SHED_BATCH: Priority.NORMAL, Rung.SHED_NORMAL: Priority.EMERGENCY}
"""The least urgent class that a rung helps; every other rung helps all."""
LONGEST_STAY: Final = 8
"""Times `down_seconds`."""


@dataclass(frozen=True)
class Pressure:
    """What weighs on a model now."""

    fill: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Share of its places that are taken: by emergencies, by these and normal requests, by all."""
    misses: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Share of the last requests whose deadline came first, of the same classes."""
    celsius: float | None = None
    """The machine's hottest zone; None where it does not tell."""
    throttled: bool | None = None
    """Whether heat or current slows the machine down."""


@dataclass(frozen=True)
class Limits:
    """From where on something is pressure, and up to where it is calm. What lies between is neither."""

    fill: float = 0.75
    calm_fill: float = 0.25
    misses: float = 0.05
    calm_misses: float = 0.01
    celsius: float = 90.0
    calm_celsius: float = 85.0
    shed_celsius: float = 97.0
    """The same for the rungs that shed; NVIDIA's boards slow down by themselves from 99 °C on."""
    calm_shed_celsius: float = 93.0
    up_seconds: float = 2.0
    """How long pressure has to last before each step up."""
    down_seconds: float = 10.0
    """How long calm has to last before each step down."""


@dataclass(frozen=True)
class Step:
    """One step of the ladder."""

    before: Rung
    after: Rung
    reason: str
    """queue, deadlines, temperature, throttled; or calm."""


class Ladder:
    """Where one model stands."""

    def __init__(self, rungs: Iterable[Rung], limits: Limits | None = None) -> None:
        """Stand on the lowest; `rungs` are those that there are means for."""
        self._rungs = (Rung.FULL, *sorted({*rungs} - {Rung.FULL}))
        self.limits = limits or Limits()
        self._at = 0
        self._pressed_since: float | None = None
        self._calm_since: float | None = None
        self._stay = 1
        self._went_down: float | None = None

    @property
    def rung(self) -> Rung:
        """Where it stands."""
        return self._rungs[self._at]

    def step(self, pressure: Pressure, now: float) -> Step | None:
        """Take note of the pressure at this moment (seconds, any steady clock), and go one step if it is time."""
        above = self._rungs[self._at + 1] if self._at + 1 < len(self._rungs) else None
        reason = self._pressed(pressure, above) if above is not None else ""
        calm = self._at > 0 and self._is_calm(pressure, self.rung)
        self._pressed_since = _since(self._pressed_since, now, lasts=bool(reason))
        self._calm_since = _since(self._calm_since, now, lasts=calm)
        limits = self.limits
        if self._pressed_since is not None and now - self._pressed_since >= limits.up_seconds:
            return self._climb(reason, now)
        if self._calm_since is not None and now - self._calm_since >= limits.down_seconds * self._stay:
            self._went_down = now
            return self._go(-1, "calm", now)
        return None

    def _climb(self, reason: str, now: float) -> Step:
        window = self.limits.down_seconds * self._stay
        soon = self._went_down is not None and now - self._went_down < window
        self._stay = min(2 * self._stay, LONGEST_STAY) if soon else 1
        self._went_down = None
        return self._go(1, reason, now)

    def _go(self, by: int, reason: str, now: float) -> Step:
        before = self.rung
        self._at += by
        self._pressed_since = now if by > 0 else None
        self._calm_since = now if by < 0 else None
        return Step(before, self.rung, reason)

    def _pressed(self, pressure: Pressure, above: Rung) -> str:
        """Say what speaks for this rung; "" when nothing does."""
        limits = self.limits
        number = HELPED.get(above, Priority.BATCH) - 1
        if pressure.fill[number] >= limits.fill:
            return "queue"
        if pressure.misses[number] >= limits.misses:
            return "deadlines"
        hot = limits.shed_celsius if above in HELPED else limits.celsius
        if pressure.celsius is not None and pressure.celsius >= hot:
            return "temperature"
        return "throttled" if pressure.throttled and above not in HELPED else ""

    def _is_calm(self, pressure: Pressure, rung: Rung) -> bool:
        """Say whether nothing speaks for this rung any more."""
        limits = self.limits
        number = HELPED.get(rung, Priority.BATCH) - 1
        mild = limits.calm_shed_celsius if rung in HELPED else limits.calm_celsius
        return (
            pressure.fill[number] <= limits.calm_fill
            and pressure.misses[number] <= limits.calm_misses
            and (pressure.celsius is None or pressure.celsius <= mild)
            and (not pressure.throttled or rung in HELPED)
        )


def _since(since: float | None, now: float, *, lasts: bool) -> float | None:
    if not lasts:
        return None
    return now if since is None else since
