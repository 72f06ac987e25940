"""A queue: the share of a tier's machines that a group of jobs may use.

Stands under topology; jobs name a queue, render makes a Volcano Queue of it.
"""

from typing import Annotated

from pydantic import Field

from toolkit.topology.names import TierName
from toolkit.topology.noun import Noun
from toolkit.topology.units import Bytes


class Resources(Noun):
    """An amount of machines."""

    gpus: Annotated[int, Field(ge=0)] | None = None
    """GPUs."""
    cpus: Annotated[int, Field(ge=0)] | None = None
    """Processor cores."""
    memory: Bytes | None = None
    """Main memory."""


class Queue(Noun):
    """What jobs may use: `guarantee` is kept free, `deserved` is given back when needed, `capability` is the end."""

    tier: TierName
    """Tier whose machines it shares."""
    guarantee: Resources = Resources()
    """Kept for this queue even when it is empty."""
    deserved: Resources = Resources()
    """Its fair part; what it uses above can be taken back by other queues."""
    capability: Resources = Resources()
    """The most that it may ever use; nothing means the whole tier."""
    reclaimable: bool = True
    """Whether other queues may take back what it uses above `deserved`."""
