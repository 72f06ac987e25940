"""Which question is likely next: a hook of `keep`, off unless the configuration wants it.

A first-order Markov chain over the keys that one client asks for: what followed a key at least twice, and in more than
half of all cases, is taken for next. The keep then brings its answer from the disk into memory before it is asked for;
nothing is ever computed for a guess.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final, Protocol

from edge_runtime.serving.cache.key import Key

Wanted = tuple[Key, str]
"""A key and the label that it was asked with."""
_KEYS: Final = 4096
_CLIENTS: Final = 256
_FOLLOWERS: Final = 8
_LEAST: Final = 2


class Foresight(Protocol):
    """Something that learns what follows what."""

    def asked(self, client: str, wanted: Wanted) -> Wanted | None:
        """Hear of a question; give the one that will come next, or None."""
        ...


class Markov:
    """The chain, over the latest keys of the latest clients."""

    def __init__(self) -> None:
        """Begin knowing nothing."""
        self._after: OrderedDict[Wanted, Counter[Wanted]] = OrderedDict()
        self._last: OrderedDict[str, Wanted] = OrderedDict()

    def asked(self, client: str, wanted: Wanted) -> Wanted | None:
        """Learn that this client asks for this after its last one; say what follows it."""
        before = self._last.pop(client, None)
        self._last[client] = wanted
        if len(self._last) > _CLIENTS:
            self._last.popitem(last=False)
        if before is not None and before != wanted:
            self._learn(before, wanted)
        followers = self._after.get(wanted)
        if not followers:
            return None
        likely, count = followers.most_common(1)[0]
        return likely if count >= _LEAST and 2 * count > followers.total() else None

    def _learn(self, before: Wanted, wanted: Wanted) -> None:
        followers = self._after.pop(before, None) or Counter()
        if len(followers) >= _FOLLOWERS and wanted not in followers:
            del followers[min(followers, key=followers.__getitem__)]
        followers[wanted] += 1
        self._after[before] = followers
        if len(self._after) > _KEYS:
            self._after.popitem(last=False)
