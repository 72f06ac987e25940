"""When a device may install: days and hours of a week by the clock on the wall. Pure.

`edge_runtime.permit` asks while an installation is WAITING_WINDOW. A window is open at the moments at which a clock on
the wall, in its time zone, shows a time in it. So a night on which clocks go forward over a window leaves it out, and
one on which they go back over it has it twice; and both questions have one answer at any moment. A window that passes
midnight belongs to the day on which it opens.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo
from typing import Final

_DAY: Final = 86_400
_WEEK: Final = 7 * _DAY
_EPOCH_WEEKDAY: Final = 3
"""1970-01-01 was a Thursday; Monday is 0."""
_STEP: Final = 3600
"""No zone changes its offset twice within an hour."""
_SEARCH: Final = 3 * _WEEK
"""A window opens every week; clocks that jump may leave it out once."""


@dataclass(frozen=True)
class Window:
    """Hours on days of a week."""

    days: frozenset[int]
    """On which it opens; Monday is 0."""
    opens: int
    """Minutes since midnight, 0 to 1440."""
    closes: int
    """Likewise; not later than `opens` means the next day, and the same means a whole day."""
    zone: tzinfo | None
    """None is the machine's."""

    def is_open(self, at: float) -> bool:
        """Tell whether it is open at a time, in seconds since 1970 UTC."""
        return self._wait(at, self._offset(at)) == 0

    def next_open(self, at: float) -> float:
        """Give the earliest time from `at` on at which it is open, both in seconds since 1970 UTC.

        Raises:
            ValueError: it has no days.
        """
        end = at + _SEARCH
        while at < end:
            offset = self._offset(at)
            change = self._change(at, offset)
            opening = at + self._wait(at, offset)
            if opening < change:
                return opening
            at = change
        raise ValueError("a window without days never opens")

    def _wait(self, at: float, offset: float) -> float:
        """Give the seconds until it is open if the offset stays; 0 when it is open."""
        in_week = (at + offset + _EPOCH_WEEKDAY * _DAY) % _WEEK
        length = (self.closes - self.opens) % 1440 * 60 or _DAY
        waits = [_WEEK * 4.0]
        for day in self.days:
            since = (in_week - day * _DAY - self.opens * 60) % _WEEK
            waits.append(0.0 if since < length else _WEEK - since)
        return min(waits)

    def _offset(self, at: float) -> float:
        """Give what the zone's clocks are ahead of UTC at a time, in seconds."""
        offset = datetime.fromtimestamp(at, timezone.utc).astimezone(self.zone).utcoffset()
        return offset.total_seconds() if offset is not None else 0.0

    def _change(self, at: float, offset: float) -> float:
        """Give the first whole second after `at` at which the offset is another; two weeks on when it stays."""
        before = int(at)
        for after in range(before + _STEP, before + 2 * _WEEK, _STEP):
            if self._offset(after) != offset:
                break
            before = after
        else:
            return before
        while after - before > 1:
            middle = (before + after) // 2
            if self._offset(middle) == offset:
                before = middle
            else:
                after = middle
        return after
