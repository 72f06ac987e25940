"""A quota: the most that all pods of one priority may use together.

Stands under topology, by the name of a priority; render makes a ResourceQuota for each cluster's namespace of it.
"""

from typing import Annotated

from pydantic import Field

from toolkit.topology.noun import Noun
from toolkit.topology.units import Bytes


class Quota(Noun):
    """What pods of one priority may use together, in each cluster; what is left out is not limited."""

    gpus: Annotated[int, Field(ge=0)] | None = None
    """GPUs."""
    cpus: Annotated[int, Field(ge=1)] | None = None
    """Processor cores that they ask for."""
    memory: Bytes | None = None
    """Main memory that they ask for."""
    pods: Annotated[int, Field(ge=1)] | None = None
    """How many there may be."""
