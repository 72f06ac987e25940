"""Parts of a fleet and limits that must not be passed: `2`, `25%`, `>1%`, `>0`, `>500ms`.

Stands beside units; rollouts are written with these.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from toolkit.topology.unit import Unit
from toolkit.topology.units import WHOLE, Duration, Percent


@dataclass(frozen=True)
class Share(Unit):
    """So many machines: a count (`2`) or a percentage (`25%`)."""

    count: int | None = None
    """Machines, when a count was written."""
    percent: Percent | None = None
    """Share, when a percentage was written."""

    code: ClassVar[str] = "E0306"
    example: ClassVar[str] = "25%"
    pattern: ClassVar[str] = r"^([1-9][0-9]*|[0-9]+(\.[0-9]{1,4})?%)$"

    @classmethod
    def parse(cls, text: str) -> "Share":
        """Read a count or a percentage, both above zero. Raises ValueError."""
        if re.fullmatch(r"[0-9]+", text, re.ASCII):
            share = cls(count=int(text))
        elif text.endswith("%"):
            share = cls(percent=Percent.parse(text))
        else:
            raise ValueError(f"'{text}' is neither a count of machines (2) nor a percentage ({cls.example})")
        if not share.count and not (share.percent and share.percent.parts_per_million):
            raise ValueError(f"'{text}' is no machine at all")
        return share

    def of(self, total: int) -> int:
        """Give the number of machines out of `total`: rounded up, never more than there are."""
        if self.percent is None:
            return min(self.count or 0, total)
        return -(-total * self.percent.parts_per_million // WHOLE)

    def __str__(self) -> str:
        """Write the count or the percentage."""
        return str(self.percent) if self.percent is not None else str(self.count)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe both forms to editors."""
        texts = {"type": "string", "pattern": cls.pattern}
        return {"anyOf": [{"type": "integer", "minimum": 1}, texts], "examples": [2, cls.example]}


@dataclass(frozen=True)
class AbovePercent(Unit):
    """True above a percentage: `>1%`."""

    limit: Percent
    """The highest value that is still good."""

    code: ClassVar[str] = "E0307"
    example: ClassVar[str] = ">1%"
    pattern: ClassVar[str] = r"^> ?[0-9]+(\.[0-9]{1,4})?%$"

    @classmethod
    def parse(cls, text: str) -> "AbovePercent":
        """Read `>` and a percentage. Raises ValueError."""
        return cls(Percent.parse(_after_sign(text, cls.example)))

    def __str__(self) -> str:
        """Write the sign and the percentage."""
        return f">{self.limit}"


@dataclass(frozen=True)
class AboveShare(Unit):
    """True above a count or a percentage of machines: `>0`, `>5%`."""

    count: int | None = None
    """The highest count that is still good, when a count was written."""
    percent: Percent | None = None
    """The highest share that is still good, when a percentage was written."""

    code: ClassVar[str] = "E0307"
    example: ClassVar[str] = ">5%"
    pattern: ClassVar[str] = r"^> ?[0-9]+((\.[0-9]{1,4})?%)?$"

    @classmethod
    def parse(cls, text: str) -> "AboveShare":
        """Read `>` and a count or a percentage. Raises ValueError."""
        after = _after_sign(text, cls.example)
        if re.fullmatch(r"[0-9]+", after, re.ASCII):
            return cls(count=int(after))
        return cls(percent=Percent.parse(after))

    def __str__(self) -> str:
        """Write the sign and the limit."""
        return f">{self.percent if self.percent is not None else self.count}"


@dataclass(frozen=True)
class AboveDuration(Unit):
    """True above a duration: `>500ms`."""

    limit: Duration
    """The highest value that is still good."""

    code: ClassVar[str] = "E0307"
    example: ClassVar[str] = ">500ms"
    pattern: ClassVar[str] = r"^> ?[0-9]+(\.[0-9]+)? ?(ms|s|m|h|d|w)$"

    @classmethod
    def parse(cls, text: str) -> "AboveDuration":
        """Read `>` and a duration. Raises ValueError."""
        return cls(Duration.parse(_after_sign(text, cls.example)))

    def __str__(self) -> str:
        """Write the sign and the duration."""
        return f">{self.limit}"


def _after_sign(text: str, example: str) -> str:
    """Cut the `>` off a threshold. Raises ValueError when it is missing."""
    if not text.startswith(">"):
        raise ValueError(f"'{text}' is not a threshold; write what is bad, such as '{example}'")
    return text[1:].strip()
