"""When a job runs by itself: a cron expression, its time zone, and what happens when the last run is still there.

Stands under job; render makes a Volcano CronJob of it. The expression is checked here as Volcano's webhook does it
(robfig/cron v3, ParseStandard): five fields, names of months and days, ranges, steps, lists, or a word such as @daily.
"""

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from toolkit.topology.noun import Noun
from toolkit.topology.unit import Unit
from toolkit.topology.units import Duration

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 6, _DAYS),
)
_WORDS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_MOST_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class Cron(Unit):
    """A cron expression: `0 2 * * *` is two o'clock every night, `30 6 * * mon-fri` half past six on working days."""

    text: str
    """As it was written, single spaces between the fields."""

    code: ClassVar[str] = "E0846"
    example: ClassVar[str] = "0 2 * * *"
    pattern: ClassVar[str] = r"^(@[a-z]+|\S+(\s+\S+){4})$"

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Read five fields or a word. Raises ValueError that names the field."""
        fields = text.split()
        if len(fields) == 1 and fields[0] in _WORDS:
            return cls(fields[0])
        if len(fields) != len(_FIELDS):
            raise ValueError(
                f"'{text}' is not a cron expression: write minute, hour, day of the month, month and day of the week, "
                f'such as "{cls.example}"'
            )
        taken = [_values(field, *each) for field, each in zip(fields, _FIELDS, strict=True)]
        if fields[4] in {"*", "?"} and not any(
            day <= _MOST_DAYS[month - 1] for month in taken[3] for day in taken[2]
        ):
            raise ValueError(f"'{text}' never happens: no such month has such a day")
        return cls(" ".join(fields))

    def __str__(self) -> str:
        """Write it back."""
        return self.text


def _values(field: str, what: str, low: int, high: int, names: tuple[str, ...]) -> frozenset[int]:
    """Give the numbers that a field stands for. Raises ValueError."""
    found: set[int] = set()
    for part in field.split(","):
        span, slash, step_text = part.partition("/")
        first, dash, last = span.partition("-")
        if first in {"*", "?"} and not dash:
            begin, end = low, high
        else:
            begin = _number(first, field, what, low, names)
            end = _number(last, field, what, low, names) if dash else high if slash else begin
        step = int(step_text) if re.fullmatch(r"[0-9]{1,4}", step_text) else 0 if slash else 1
        if not low <= begin <= end <= high or step < 1:
            raise ValueError(
                f"'{field}' is no {what}: use {low} to {high}, such as {low}, {low}-{high} or */{high // 2 or 1}"
            )
        found.update(range(begin, end + 1, step))
    return frozenset(found)


def _number(text: str, field: str, what: str, low: int, names: tuple[str, ...]) -> int:
    if re.fullmatch(r"[0-9]{1,4}", text):
        return int(text)
    if text.lower() in names:
        return names.index(text.lower()) + low
    raise ValueError(f"'{field}' is no {what}")


class Schedule(Noun):
    """When a job runs by itself."""

    cron: Cron
    """Five fields in quotes, such as `"0 2 * * *"`."""
    timezone: str = "UTC"
    """Time zone of the expression, such as Europe/Berlin."""
    overlap: Literal["forbid", "replace", "allow"] = "forbid"
    """When the last run is still there: leave this one out, end the last one, or let both run."""
    late: Duration = Duration.parse("10m")
    """How late a run may start that was missed, such as while the controller was away."""
    keep_completed: Annotated[int, Field(ge=0, le=100)] = 3
    """So many completed runs stay in the cluster."""
    keep_failed: Annotated[int, Field(ge=0, le=100)] = 3
    """So many failed runs stay."""
    suspended: bool = False
    """Whether no new runs begin; runs that are there go on."""
