"""Lines between tiers: how fast, how far, how dear.

Stands under topology; placement and the plans of routes reckon with it.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from toolkit.topology.names import Name, TierName
from toolkit.topology.noun import Noun
from toolkit.topology.units import Duration, Rate


class Line(Noun):
    """A line from one tier to another."""

    source: TierName = Field(alias="from")
    """One end."""
    target: TierName = Field(alias="to")
    """The other end."""
    rate: Rate
    """What it carries."""
    latency: Duration | None = None
    """Time for a packet there and back."""


class Network(Noun):
    """Lines between tiers."""

    lines: tuple[Line, ...] = ()
    """All lines; a line that is not written is not reckoned with."""


class Prices(Noun):
    """What machines and storage cost, for plans."""

    currency: str = "EUR"
    """Currency of all prices."""
    machine_hour: Mapping[Name, Annotated[float, Field(ge=0)]] = {}
    """Price of one machine for one hour, by pool."""
    gib_month: Mapping[TierName, Annotated[float, Field(ge=0)]] = {}
    """Price of keeping one GiB for a month, by tier."""
