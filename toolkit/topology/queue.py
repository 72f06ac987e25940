"""A queue: the share of a tier's machines that a group of jobs may use.

Stands under topology; jobs name a queue, render makes a Volcano Queue of it.
"""

from collections.abc import Mapping
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
    """What jobs may use: `guarantee` is kept free, `deserved` is given back when needed, `capability` is the end.

    What is deserved and not used others may borrow; a guarantee nobody borrows.
    """

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


def gpu_limit(queues: Mapping[str, Queue], name: str, there: int) -> int | None:
    """Give the most GPUs that a queue may use: its capability, and never what other queues of its tier keep.

    Args:
        queues: all queues by name.
        name: the one in question.
        there: GPUs of its tier; without any, its capability alone counts, which may be None.
    """
    mine = queues[name]
    if not there:
        return mine.capability.gpus
    others = [each for other, each in queues.items() if other != name and each.tier == mine.tier]
    rest = there - sum(each.guarantee.gpus or 0 for each in others)
    return rest if mine.capability.gpus is None else min(rest, mine.capability.gpus)
