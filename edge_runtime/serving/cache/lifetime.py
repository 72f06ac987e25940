"""How long an answer is kept: a fixed time, or one that follows how often answers of its name change. `keep` asks.

Changes at a rate λ (Poisson) make an answer of age t wrong with probability 1 − e^(−λt), so it stays below ε as long
as t ≤ −ln(1 − ε) / λ (J. Cho, H. Garcia-Molina, Effective page refresh policies for Web crawlers, ACM TODS 2003, 3).
With ε = 10 % that is 0.105 of the mean time between changes, close to the tenth that HTTP takes (RFC 9111, 4.2.2). The
mean goes with each change by a quarter towards the last gap, and a silence that is longer than the mean counts itself.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

DAY_SECONDS: Final = 86400.0
OF_KIND: Final = {"image": 7 * DAY_SECONDS, "text": DAY_SECONDS}
"""Kind of question → seconds; any other kind says its own."""
DEFAULT_SECONDS: Final = 3600.0
"""For a kind of one's own that does not say."""
WRONG: Final = 0.1
SHARE: Final = -math.log(1 - WRONG)
LEAST_SECONDS: Final = 1.0
_TOWARDS_LAST: Final = 0.25
_LABELS: Final = 4096
"""Names whose changes are remembered, the latest of them."""


def seconds_of(kind: str, ttl: float) -> float:
    """Give the longest time for answers of a kind; `ttl` 0 takes what is usual for it."""
    return ttl or OF_KIND.get(kind, DEFAULT_SECONDS)


@dataclass(slots=True)
class _Changes:
    last: float
    mean: float


class Lifetime:
    """How long answers of one model hold."""

    def __init__(self, longest: float, *, follow: bool, now: float) -> None:
        """Begin to watch; without `follow` it is always the longest."""
        self.longest = longest
        self._follow = follow
        self._since = now
        self._changes: OrderedDict[str, _Changes] = OrderedDict()

    def changed(self, label: str, now: float) -> None:
        """Hear that an answer of this name became another; an empty name stands for all of them."""
        if not self._follow:
            return
        known = self._changes.pop(label, None)
        gap = now - (known.last if known else self._since)
        mean = known.mean + _TOWARDS_LAST * (gap - known.mean) if known else gap
        self._changes[label] = _Changes(now, mean)
        if len(self._changes) > _LABELS:
            self._changes.popitem(last=False)

    def seconds(self, label: str, now: float) -> float:
        """Give the time for an answer of this name."""
        seconds = self.longest
        for name in {label, ""}:
            known = self._changes.get(name)
            if known is not None:
                seconds = min(seconds, max(LEAST_SECONDS, SHARE * max(known.mean, now - known.last)))
        return seconds
