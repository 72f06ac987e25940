"""What leaves a storage that is too full, and what cannot. Pure; comes after `rules`, before `carry_out`.

Above the high mark objects leave until the storage is at the low mark: what was read longest ago first, the larger one
of two that are alike. Nothing leaves that is held, pinned or younger than the tier's residency, nor anything that has
fewer copies elsewhere than the tier asks for; `carry_out` reads those copies back before it believes in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.sync.policies.policy import Place, Terms
from toolkit.sync.policies.rules import Decision

_TAKES_AWAY = {"move", "expire"}


@dataclass(frozen=True)
class Eviction:
    """How full a storage is, and what leaves it for that reason."""

    url: str
    used_bytes: int
    capacity_bytes: int
    """0 when nobody has said it."""
    goal_bytes: int = 0
    """Down to which room is made; 0 when there is enough."""
    leaving: tuple[Decision, ...] = ()
    short_bytes: int = 0
    """What is above the goal still, because the rest may not leave."""

    @property
    def reason(self) -> str:
        """Why something leaves, for people and the audit log."""
        return f"{self.used_bytes} bytes of {self.capacity_bytes} are above the high mark"


def evict(place: Place, terms: Terms, decisions: Sequence[Decision], used_bytes: int) -> Eviction:
    """Choose what leaves one storage to make room.

    Args:
        place: the storage.
        terms: of its tier.
        decisions: about every object in it; what they take away is gone by the time room is made.
        used_bytes: what lies in the storage, its trash included.
    """
    url, capacity = place.storage.url, place.capacity_bytes
    if not capacity or used_bytes <= terms.high * capacity:
        return Eviction(url, used_bytes, capacity)
    goal = int(terms.low * capacity)
    over = used_bytes - goal
    free = [each for each in decisions if each.deed not in _TAKES_AWAY and may_leave(each, terms)]
    free.sort(key=lambda each: (each.facts.touched_ms, -each.facts.size, each.facts.path))
    leaving: list[Decision] = []
    for each in free:
        if over <= 0:
            break
        leaving.append(each)
        over -= each.facts.size
    return Eviction(url, used_bytes, capacity, goal, tuple(leaving), max(0, over))


def may_leave(decision: Decision, terms: Terms) -> bool:
    """Say whether an object may be taken away to make room, as far as is known without reading its copies."""
    others = {copy.url for copy in decision.facts.copies}
    return not decision.guarded and len(others) >= terms.copies
