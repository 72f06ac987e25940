"""A tier: one of the four layers of machines.

Stands under topology; routes go between tiers, queues belong to one.
"""

from collections.abc import Mapping

from toolkit.topology.names import Name
from toolkit.topology.noun import Noun
from toolkit.topology.pool import Pool
from toolkit.topology.settings import Settings
from toolkit.topology.storage import Storages


class Tier(Noun):
    """One layer of machines with the place where it keeps its data."""

    storage: Storages = ()
    """Where the tier keeps its data; several for copies."""
    pools: Mapping[Name, Pool] = {}
    """Machines of this tier, by kind."""
    settings: Settings = Settings()
    """Settings of this tier's devices; pools and devices beat them."""
