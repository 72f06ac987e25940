"""A queue: the share of a tier's machines that a group of jobs may use.

Stands under topology; jobs name a queue, render makes a Volcano Queue of it.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from toolkit.topology.names import Name, TierName
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
    parent: Name | None = None
    """Queue of the same tier whose share it takes a part of; that one then takes no jobs itself."""
    guarantee: Resources = Resources()
    """Kept for this queue even when it is empty."""
    deserved: Resources = Resources()
    """Its fair part; what it uses above can be taken back by other queues."""
    capability: Resources = Resources()
    """The most that it may ever use; nothing means the whole tier."""
    reclaimable: bool = True
    """Whether other queues may take back what it uses above `deserved`."""


def ancestors(queues: Mapping[str, Queue], name: str) -> list[str]:
    """Give the queues above a queue, from its parent on; a circle ends where it closes."""
    found: list[str] = []
    above = queues[name].parent
    while above is not None and above in queues and above not in {name, *found}:
        found.append(above)
        above = queues[above].parent
    return found


def gpu_limit(queues: Mapping[str, Queue], name: str, there: int) -> int | None:
    """Give the most GPUs that a queue may use: its capability, and never what the queues beside it keep.

    A queue below another one shares what that one may use; one without a parent shares its tier.

    Args:
        queues: all queues by name.
        name: the one in question.
        there: GPUs of its tier; without any, capabilities alone count, which may be None.
    """
    limit = there or None
    for each in reversed([name, *ancestors(queues, name)]):
        mine = queues[each]
        if limit is not None:
            beside = [
                other.guarantee.gpus or 0
                for key, other in queues.items()
                if key != each and (other.tier, other.parent) == (mine.tier, mine.parent)
            ]
            limit -= sum(beside)
        own = mine.capability.gpus
        limit = own if limit is None else limit if own is None else min(limit, own)
    return limit
