"""One value that can be read or set on a sensor. Stands under `sensor`; the known kinds are made of these too."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from toolkit.topology.names import PropertyName, Unit
from toolkit.topology.noun import Noun

Setting = str | int | float | bool
"""A value for the mapper, which alone knows what it means."""


class Property(Noun):
    """One value of a sensor."""

    type: Literal["int", "float", "double", "string", "boolean", "bytes", "stream"]
    """Kind of value; `stream` is a flow of pictures that the mapper handles itself."""
    access: Literal["read", "write"] = "read"
    """Whether the value can only be read, or be set too."""
    unit: Unit | None = None
    """Its unit by UCUM, such as MHz, cm, dB or Cel."""
    minimum: float | None = None
    """Least value; numbers only."""
    maximum: float | None = None
    """Greatest value; numbers only."""
    description: Annotated[str, Field(max_length=200)] = ""
    """What it is, for people."""
    visitor: Mapping[PropertyName, Setting] = {}
    """How the mapper finds it, such as a node id or a tag."""


NUMBERS = frozenset({"int", "float", "double"})
"""Types that have a least and a greatest value."""
