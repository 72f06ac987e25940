"""Lines between tiers: how fast, how far, how dear; and who may talk to whom inside a cluster.

Stands under topology; placement and the plans of routes reckon with lines, render makes NetworkPolicies.
"""

import ipaddress
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

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


def _check_cidr(text: str) -> str:
    """Take a network such as 10.0.0.0/8."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError as exc:
        raise PydanticCustomError(
            "E0310", "{reason}", {"reason": f"'{text}' is not a network such as 10.0.0.0/8"}
        ) from exc
    return str(network)


Cidr = Annotated[str, AfterValidator(_check_cidr)]
"""Addresses of a network, in its shortest form."""


class Policies(Noun):
    """Everything is closed but what the parts of this site need of each other."""

    clients: tuple[Cidr, ...] = ()
    """Networks that may ask services; nothing means everybody."""
    devices: tuple[Cidr, ...] = ()
    """Networks that devices come from; nothing means that everybody reaches the broker's port, with a certificate."""
    outside: tuple[Cidr, ...] = ()
    """Networks with the storages and brokers outside the cluster; nothing means any address, on their ports."""
    monitoring: Name = "monitoring"
    """Namespace of Prometheus."""


class Network(Noun):
    """Lines between tiers, and what is closed inside a cluster."""

    lines: tuple[Line, ...] = ()
    """All lines; a line that is not written is not reckoned with."""
    policies: Policies | None = None
    """NetworkPolicies for the namespace, `{}` for all defaults; nothing means that everything is open."""


class Prices(Noun):
    """What machines and storage cost, for plans."""

    currency: str = "EUR"
    """Currency of all prices."""
    machine_hour: Mapping[Name, Annotated[float, Field(ge=0)]] = {}
    """Price of one machine for one hour, by pool."""
    gib_month: Mapping[TierName, Annotated[float, Field(ge=0)]] = {}
    """Price of keeping one GiB for a month, by tier."""
    thousand_requests: Mapping[TierName, Annotated[float, Field(ge=0)]] = {}
    """Price of a thousand requests that write, by tier."""
