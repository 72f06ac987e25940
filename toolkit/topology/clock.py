"""Times of day and days of the week: `"08:00"`, `mon-fri`.

Stands beside units; peaks of services and install windows are written with these.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from toolkit.topology.unit import Unit

_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, order=True)
class TimeOfDay(Unit):
    """A time on a 24-hour clock, such as `"08:00"`."""

    minutes: int
    """Minutes since midnight; 24:00 is 1440 and ends a day."""

    code: ClassVar[str] = "E0308"
    example: ClassVar[str] = "08:00"
    pattern: ClassVar[str] = r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"

    @classmethod
    def parse(cls, text: str) -> "TimeOfDay":
        """Read hh:mm. Raises ValueError."""
        if re.fullmatch(cls.pattern, text, re.ASCII) is None:
            raise ValueError(f"'{text}' is not a time of day such as \"{cls.example}\"")
        return cls(int(text[:2]) * 60 + int(text[3:]))

    def __str__(self) -> str:
        """Write hh:mm."""
        return f"{self.minutes // 60:02d}:{self.minutes % 60:02d}"


@dataclass(frozen=True)
class Days(Unit):
    """Days of the week: `mon-fri`, `sat`, or `mon,wed,fri`."""

    days: tuple[int, ...]
    """Numbers of the days, Monday is 0; sorted."""

    code: ClassVar[str] = "E0308"
    example: ClassVar[str] = "mon-fri"
    pattern: ClassVar[str] = r"^(mon|tue|wed|thu|fri|sat|sun)([-,](mon|tue|wed|thu|fri|sat|sun))*$"

    @classmethod
    def parse(cls, text: str) -> "Days":
        """Read days and ranges separated by commas; a range may wrap (`sat-mon`). Raises ValueError."""
        found: set[int] = set()
        for part in text.split(","):
            first, dash, last = part.strip().partition("-")
            last = last if dash else first
            if first not in _WEEK or last not in _WEEK:
                raise ValueError(
                    f"'{part.strip()}' is not a day such as mon or a range such as {cls.example}"
                )
            start, length = _WEEK.index(first), (_WEEK.index(last) - _WEEK.index(first)) % len(_WEEK)
            found.update((start + step) % len(_WEEK) for step in range(length + 1))
        return cls(tuple(sorted(found)))

    def __str__(self) -> str:
        """Write a range where the days form one, else a list."""
        names = [_WEEK[day] for day in self.days]
        if len(names) > 1 and self.days[-1] - self.days[0] == len(names) - 1:
            return f"{names[0]}-{names[-1]}"
        return ",".join(names)
