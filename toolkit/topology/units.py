"""Sizes, rates, durations and percentages.

Stands between text and every noun. Each type holds whole numbers of its smallest part only, so that
`parse(str(x)) == x` without rounding.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from toolkit.topology.unit import Unit

NUMBER = r"(?P<number>[0-9]+(?:\.[0-9]+)?)"
"""A decimal number without sign or exponent."""

_SIZES = {
    "B": Fraction(1),
    "kB": Fraction(10**3),
    "KiB": Fraction(2**10),
    "MB": Fraction(10**6),
    "MiB": Fraction(2**20),
    "GB": Fraction(10**9),
    "GiB": Fraction(2**30),
    "TB": Fraction(10**12),
    "TiB": Fraction(2**40),
    "PB": Fraction(10**15),
    "PiB": Fraction(2**50),
}
_RATES = {f"{unit}/s": size for unit, size in _SIZES.items()} | {
    "bit/s": Fraction(1, 8),
    "kbit/s": Fraction(125),
    "Mbit/s": Fraction(125_000),
    "Gbit/s": Fraction(125_000_000),
}
_TIMES = {
    "ms": Fraction(1),
    "s": Fraction(1_000),
    "m": Fraction(60_000),
    "h": Fraction(3_600_000),
    "d": Fraction(86_400_000),
    "w": Fraction(604_800_000),
}
_PRINTED_TIMES = ("d", "h", "m", "s", "ms")
_PPM_PER_PERCENT = 10_000
WHOLE = 1_000_000
"""Parts per million of a whole: 100 %."""


def _scaled(text: str, units: Mapping[str, Fraction], what: str, example: str) -> Fraction:
    """Read `<number><unit>` as an exact number of the smallest unit. Raises ValueError."""
    match = re.fullmatch(NUMBER + r"\s?(?P<unit>[A-Za-z/]*)", text, re.ASCII)
    if match is None:
        raise ValueError(f"'{text}' is not {what} such as {example}")
    unit = match["unit"]
    if not unit:
        raise ValueError(f"'{text}' has no unit; {what} is written like {example}")
    if unit not in units:
        meant = next((known for known in units if known.lower() in (unit.lower(), f"{unit}/s".lower())), None)
        hint = f"did you mean {meant}?" if meant else f"known are {', '.join(units)}"
        raise ValueError(f"'{unit}' is not a unit of {what}; {hint}")
    return Fraction(match["number"]) * units[unit]


def _whole(amount: Fraction, text: str, smallest: str) -> int:
    """Refuse what would have to be rounded. Raises ValueError."""
    if amount.denominator != 1:
        raise ValueError(f"'{text}' is not a whole number of {smallest}")
    return amount.numerator


def _print_size(count: int) -> str:
    """Write a byte count with the shortest text that is exact; binary units win a tie."""
    if not count:
        return "0B"
    exact = [
        (len(str(count // size)), "i" not in unit, unit) for unit, size in _SIZES.items() if count % size == 0
    ]
    unit = min(exact)[2]
    return f"{count // _SIZES[unit]}{unit}"


@dataclass(frozen=True, order=True)
class Bytes(Unit):
    """An amount of data, such as `12GiB`. Powers of 1024 have an i (`GiB`), powers of 1000 have none (`GB`)."""

    count: int
    """Bytes."""

    code: ClassVar[str] = "E0302"
    example: ClassVar[str] = "12GiB"
    pattern: ClassVar[str] = r"^[0-9]+(\.[0-9]+)? ?([KMGTP]iB|[kMGTP]?B)$"

    @classmethod
    def parse(cls, text: str) -> "Bytes":
        """Read a size. Raises ValueError for a missing or unknown unit and for parts of a byte."""
        return cls(_whole(_scaled(text, _SIZES, "a size", cls.example), text, "bytes"))

    def __str__(self) -> str:
        """Write the shortest exact form."""
        return _print_size(self.count)


@dataclass(frozen=True, order=True)
class Rate(Unit):
    """An amount of data per second, such as `20MiB/s` or `100Mbit/s`."""

    bytes_per_second: int
    """Bytes per second."""

    code: ClassVar[str] = "E0303"
    example: ClassVar[str] = "20MiB/s"
    pattern: ClassVar[str] = r"^[0-9]+(\.[0-9]+)? ?([KMGTP]iB|[kMGTP]?B|[kMG]?bit)/s$"

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read a rate. Raises ValueError for a missing or unknown unit and for parts of a byte."""
        return cls(_whole(_scaled(text, _RATES, "a rate", cls.example), text, "bytes per second"))

    def __str__(self) -> str:
        """Write the shortest exact form, in bytes."""
        return f"{_print_size(self.bytes_per_second)}/s"


@dataclass(frozen=True, order=True)
class Duration(Unit):
    """A length of time, such as `500ms`, `30m`, `7d`. A day is 24 hours."""

    milliseconds: int
    """Thousandths of a second."""

    code: ClassVar[str] = "E0304"
    example: ClassVar[str] = "30m"
    pattern: ClassVar[str] = r"^[0-9]+(\.[0-9]+)? ?(ms|s|m|h|d|w)$"

    @property
    def seconds(self) -> float:
        """Seconds."""
        return self.milliseconds / 1000

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """Read a duration. Raises ValueError for a missing or unknown unit and for parts of a millisecond."""
        return cls(_whole(_scaled(text, _TIMES, "a duration", cls.example), text, "milliseconds"))

    def __str__(self) -> str:
        """Write it in the largest unit that is exact."""
        if not self.milliseconds:
            return "0s"
        unit = next(unit for unit in _PRINTED_TIMES if self.milliseconds % _TIMES[unit] == 0)
        return f"{self.milliseconds // _TIMES[unit]}{unit}"


@dataclass(frozen=True, order=True)
class Percent(Unit):
    """A share of a whole, from `0%` to `100%`, with up to four digits after the point."""

    parts_per_million: int
    """1 % is 10 000."""

    code: ClassVar[str] = "E0305"
    example: ClassVar[str] = "25%"
    pattern: ClassVar[str] = r"^[0-9]+(\.[0-9]{1,4})?%$"

    @property
    def fraction(self) -> float:
        """The share as a number from 0 to 1."""
        return self.parts_per_million / WHOLE

    @classmethod
    def parse(cls, text: str) -> "Percent":
        """Read a percentage. Raises ValueError without the % sign, above 100 % and for more than four decimals."""
        match = re.fullmatch(NUMBER + r"\s?%", text, re.ASCII)
        if match is None:
            raise ValueError(f"'{text}' is not a percentage such as {cls.example}")
        parts = _whole(Fraction(match["number"]) * _PPM_PER_PERCENT, text, "ten-thousandths of a percent")
        if parts > WHOLE:
            raise ValueError(f"'{text}' is more than 100%")
        return cls(parts)

    def __str__(self) -> str:
        """Write it without trailing zeros."""
        whole, rest = divmod(self.parts_per_million, _PPM_PER_PERCENT)
        return f"{whole}.{rest:04d}".rstrip("0").rstrip(".") + "%"
