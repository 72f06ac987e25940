"""The sentences that `queue_rules` and `machine_rules` share: who holds what, and what would let a gang start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from itertools import combinations

from toolkit.jobs.amount import in_words
from toolkit.jobs.room import Holder
from toolkit.jobs.seen import Seen
from toolkit.jobs.states import Cause, JobState, Reason
from toolkit.jobs.values import Amounts

NONE = Decimal(0)
MOST_NAMED = 4
"""Holders, machines or ways that one sentence names."""
Enough = Callable[[Iterable[Holder]], bool]
"""Tells whether the gang would start without some holders."""


def pending(cause: Cause, why: str, cure: str = "") -> Reason:
    """Give the reason of a job that waits."""
    return Reason(JobState.PENDING, cause, why, cure)


def times(ask: Amounts, number: int) -> Amounts:
    """Say what several workers ask for."""
    return {name: amount * number for name, amount in ask.items()}


def held(holders: Mapping[Holder, Decimal], resource: str) -> str:
    """Name who holds most of a resource, in brackets; nothing when nobody holds any."""
    ordered = sorted(holders.items(), key=lambda pair: (-pair[1], str(pair[0])))
    named = [f"{holder} holds {in_words(resource, amount)}" for holder, amount in ordered if amount]
    more = len(named) - MOST_NAMED
    rest = [f"{more} more hold some"] if more > 0 else []
    return f" ({', '.join(named[:MOST_NAMED] + rest)})" if named else ""


def starts_when(seen: Seen, holders: Iterable[Holder], enough: Enough, room: int) -> str:
    """Say what would let the gang start: which jobs of ours to suspend, or with how many workers it fits now."""
    missing = seen.minimum - room
    jobs = sorted(
        (each for each in holders if each.noun == "job" and each.namespace == seen.namespace), key=str
    )
    ways = [f"tiers job suspend {each.name}" for each in jobs if enough((each,))][:MOST_NAMED]
    if not ways:
        found = next((pair for pair in combinations(jobs, 2) if enough(pair)), tuple(jobs))
        if len(found) > 1 and enough(found):
            ways = [" and ".join(f"tiers job suspend {each.name}" for each in found)]
    if room:
        ways.append(f"start it smaller: tiers job submit {seen.name} --workers {room} --replace")
    begin = f"It starts when there is room for {missing} more"
    return f"{begin}: {', or '.join(ways)}." if ways else f"{begin}."


def fewer(seen: Seen, room: int) -> str:
    """Say how many workers would fit."""
    if not room:
        return f"ask for less in jobs.{seen.name}.gang."
    return f"set gang.workers: {room} (tiers job submit {seen.name} --workers {room} --replace)."
