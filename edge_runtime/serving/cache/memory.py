"""Answers in memory: the least recently used go first when their bytes are over the budget. `keep` owns one.

Also what a model refuses is kept here, for a short time. Used on the event loop alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from edge_runtime.serving.cache.entry import Kept
from edge_runtime.serving.cache.key import Key
from toolkit.errors import TiersError


@dataclass(slots=True, eq=False)
class Held:
    """One entry."""

    value: Kept | TiersError
    """An answer, or what the model raised for exactly this question."""
    until: float
    """On the steady clock."""
    artifact: str
    label: str
    size: int
    uses: int = 0


class Memory:
    """Key → entry, bounded in bytes."""

    def __init__(self, budget_bytes: int) -> None:
        """Begin empty."""
        self._budget = budget_bytes
        self._held: OrderedDict[Key, Held] = OrderedDict()
        self.bytes = 0
        self.evictions = 0

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._held)

    def __contains__(self, key: Key) -> bool:
        """Say whether there is an entry, which may be too old."""
        return key in self._held

    def get(self, key: Key, now: float) -> Held | None:
        """Give an entry that still holds, and count the use."""
        held = self._held.get(key)
        if held is None or held.until <= now:
            return None
        held.uses += 1
        self._held.move_to_end(key)
        return held

    def pop(self, key: Key) -> Held | None:
        """Take an entry out, also one that is too old."""
        held = self._held.pop(key, None)
        if held is not None:
            self.bytes -= held.size
        return held

    def put(self, key: Key, held: Held) -> None:
        """Keep an entry, unless it alone is over the budget."""
        self.pop(key)
        if held.size > self._budget:
            return
        self._held[key] = held
        self.bytes += held.size
        while self.bytes > self._budget:
            _, last = self._held.popitem(last=False)
            self.bytes -= last.size
            self.evictions += 1

    def drop(self, where: Callable[[Held], bool]) -> int:
        """Forget the entries of which this is true; give their number."""
        keys = [key for key, held in self._held.items() if where(held)]
        for key in keys:
            self.pop(key)
        return len(keys)

    def hottest(self, most: int) -> list[tuple[Key, str]]:
        """Give the answers that were used most, with their labels; the latest first among equals."""
        answers = [
            (held.uses, key, held.label)
            for key, held in reversed(self._held.items())
            if isinstance(held.value, Kept)
        ]
        answers.sort(key=lambda each: -each[0])
        return [(key, label) for _, key, label in islice(answers, most)]
