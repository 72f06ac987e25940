"""A tier: one of the four layers of machines.

Stands under topology; routes go between tiers, queues belong to one.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from toolkit.topology.lifecycle import Watermarks
from toolkit.topology.names import Name
from toolkit.topology.noun import Noun
from toolkit.topology.pool import Pool
from toolkit.topology.secret import Secret
from toolkit.topology.settings import Settings
from toolkit.topology.storage import Storages
from toolkit.topology.units import Bytes, Duration, Rate


class Agent(Noun):
    """The programs that run the routes which begin in a tier."""

    pool: Name
    """Pool of the tier whose machines they run on; a storage that is a folder must be on these machines."""
    memory: Bytes = Bytes.parse("2GiB")
    """Most memory that one of them may take."""
    limit: Rate | None = None
    """Most that one of them may move, whatever its route allows; they run one route after the other."""
    vertical: bool = False
    """Whether a VerticalPodAutoscaler fits what the one that stays asks for to what it uses."""
    certificate: Secret | None = None
    """Secret of the type kubernetes.io/tls with which the one that stays answers Prometheus; nothing: nobody asks.
    Made for the name tiers-sync-TIER.NAMESPACE."""


class Tier(Noun):
    """One layer of machines with the place where it keeps its data."""

    storage: Storages = ()
    """Where the tier keeps its data; several for copies."""
    pools: Mapping[Name, Pool] = {}
    """Machines of this tier, by kind."""
    agent: Agent | None = None
    """Where the routes that begin here are run; nothing means by hand. Devices run theirs without it."""
    residency: Duration | None = None
    """What rules bring here stays at least so long; cold storages charge for it anyway."""
    latency: Duration | None = None
    """Until the first byte of something that is kept here can be read, for plans."""
    watermarks: Watermarks | None = None
    """When room is made here; nothing means never."""
    copies_elsewhere: Annotated[int, Field(ge=1, le=16)] = 1
    """So many other storages must have been read back before rules let something leave, unless it expires."""
    settings: Settings = Settings()
    """Settings of this tier's devices; pools and devices beat them."""
