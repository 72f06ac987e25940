"""How many devices may be told now: a rate that grows with success, and a limit on how many are at work. Pure.

Called by `waves.step` for the running wave. The rate is that of AWS IoT Jobs (base rate times a factor for each so many
that succeeded, up to a maximum).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from toolkit.wire.rollout import Pace

_LONGEST_GAP_SECONDS = 60.0
"""A driver that was away saves up no more than this."""
_MOST_STEPS = 1000


@dataclass(frozen=True)
class Paced:
    """How far the telling has come."""

    told: int
    credit: float
    """Devices, and parts of one, that may be told beyond these."""


def paced(
    pace: Pace | None,
    before: Paced,
    reach: int,
    *,
    active: int,
    in_flight: int,
    elapsed: float,
    works: Callable[[int], bool],
) -> Paced:
    """Say how many devices shall be told after this step.

    Args:
        pace: of the rollout; None tells everybody whom the wave reaches.
        before: how many are told.
        reach: how far the wave goes.
        active: devices that have the version.
        in_flight: devices that are at work on it.
        elapsed: seconds since the step before.
        works: whether the device at a position will be at work when it is told.
    """
    if pace is None or before.told >= reach:
        return Paced(max(before.told, reach), min(before.credit, 1.0))
    credit, most = 1.0, reach
    if pace.per_minute:
        elapsed = min(max(elapsed, 0.0), _LONGEST_GAP_SECONDS)
        credit = before.credit + rate(pace, active) * elapsed / 60
        most = min(reach, before.told + math.floor(credit))
    told = before.told
    room = pace.in_flight - in_flight if pace.in_flight else reach
    while told < most and (room > 0 or not works(told)):
        room -= works(told)
        told += 1
    # What it may not use now it does not save: a wave that waits must not end in a burst.
    return Paced(told, min(credit - (told - before.told), 1.0) if pace.per_minute else 1.0)


def rate(pace: Pace, active: int) -> float:
    """Give devices a minute when so many have the version; 0 when only `in_flight` limits it."""
    steps = min(active // pace.each, _MOST_STEPS)
    ceiling = pace.most or math.inf
    if not pace.per_minute:
        return 0.0
    grows_for = math.log(ceiling / pace.per_minute, pace.growth) if pace.growth > 1 else math.inf
    return min(ceiling, pace.per_minute * math.pow(pace.growth, min(steps, max(grows_for, 0.0), 300.0)))
