"""Which file will be read next, and which of those to bring ahead of need. Pure; `prefetch` does what it says.

Training reads the same files once an epoch, in the same order or nearly. So the guess is the order of the epoch before,
without what this epoch has read already: files that change places with their neighbours, and several readers at once,
do not break it. Before anybody has read anything the guess is the order of the names, numbers as numbers.

An epoch ends where a file is read a second time. What it had not read yet keeps its order behind what it had, so one
file that is opened twice costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

MAX_NAMES = 100_000
"""So many files are followed."""
_DIGITS = re.compile(rb"(\d+)")


def by_number(name: bytes) -> tuple[tuple[bytes, int], ...]:
    """Give a key that sorts names as people count: shard-9 before shard-10."""
    parts = _DIGITS.split(name)
    return tuple(
        (text, int(number)) for text, number in zip(parts[::2], [*map(int, parts[1::2]), -1], strict=True)
    )


class ReadOrder:
    """The order in which files are read, epoch after epoch."""

    def __init__(self, names: Iterable[bytes], last: Sequence[bytes] = (), *, most: int = MAX_NAMES) -> None:
        """Begin.

        Args:
            names: all files there are.
            last: the order in which they were read last time, as `order` gave it; names that are gone are left out.
            most: so many files are followed, the first by name.
        """
        there = sorted(set(names), key=by_number)[:most]
        known = set(there)
        before = list(dict.fromkeys(name for name in last if name in known))
        seen = set(before)
        self._order = before + [name for name in there if name not in seen]
        self._place = {name: at for at, name in enumerate(self._order)}
        self._now: dict[bytes, None] = {}

    def __len__(self) -> int:
        """Say how many files are followed."""
        return len(self._order)

    @property
    def order(self) -> list[bytes]:
        """The best guess at the order of a whole epoch: what this one has read, then the rest of the one before."""
        return [*self._now, *(name for name in self._order if name not in self._now)]

    def read(self, name: bytes) -> None:
        """Learn that a file is read; one that is not followed is passed over."""
        if name not in self._place:
            return
        if name in self._now:
            self._order = self.order
            self._place = {each: at for at, each in enumerate(self._order)}
            self._now = {}
        self._now[name] = None

    def following(self, name: bytes, count: int) -> list[bytes]:
        """Guess what is read after a file, the nearest first; at the end of an epoch what the next one begins with."""
        begin = self._place.get(name, -1) + 1
        found: list[bytes] = []
        for each in (*self._order[begin:], *self._order[:begin]):
            if len(found) >= count:
                return found
            if each not in self._now:
                found.append(each)
        for each in self._now:
            if len(found) >= count:
                break
            if each != name:
                found.append(each)
        return found


@dataclass
class Tally:
    """What looking ahead was good for, so far."""

    asked: int = 0
    """Reads."""
    there: int = 0
    """Of those: reads that found their file in place."""
    ahead: int = 0
    """Files that were brought before somebody asked."""
    ahead_bytes: int = 0
    used: int = 0
    """Of those: files that were read."""
    given_up: int = 0
    """Of those: files that nobody read in a whole epoch."""
    given_up_bytes: int = 0


class LookAhead:
    """Says what to bring next within a budget, and keeps count."""

    def __init__(
        self, order: ReadOrder, sizes: Mapping[bytes, int], *, ahead: int, budget_bytes: int
    ) -> None:
        """Begin.

        Args:
            order: the guess.
            sizes: bytes of each file.
            ahead: how many files to look ahead.
            budget_bytes: most bytes that may be in place before somebody has asked for them.
        """
        self.order, self.tally = order, Tally()
        self._sizes, self._ahead, self._budget = sizes, ahead, budget_bytes
        self._waiting: dict[bytes, int] = {}
        """What was brought and is not read yet, with the number of reads there had been by then."""
        self._useless: set[bytes] = set()
        self._last = b""

    @property
    def waiting(self) -> list[bytes]:
        """What was brought and not read yet, in the order in which it came."""
        return list(self._waiting)

    @property
    def in_use(self) -> set[bytes]:
        """The same, with the file that was asked for last: somebody is reading it."""
        return {*self._waiting, self._last}

    @property
    def waiting_bytes(self) -> int:
        """Bytes of that; never above the budget."""
        return sum(self._sizes[name] for name in self._waiting)

    def read(self, name: bytes, *, is_there: bool) -> None:
        """Count a read and learn from it."""
        self.tally.asked += 1
        self.tally.there += is_there
        self.tally.used += self._waiting.pop(name, None) is not None
        self._useless.discard(name)
        self._last = name
        self.order.read(name)
        for each in [each for each, at in self._waiting.items() if self.tally.asked - at > len(self.order)]:
            del self._waiting[each]
            self._useless.add(each)
            self.tally.given_up += 1
            self.tally.given_up_bytes += self._sizes[each]

    def wanted(self, is_there: Callable[[bytes], bool]) -> bytes | None:
        """Name the next file to bring; None when all that is near is there, or the next one is beyond the budget."""
        room = self._budget - self.waiting_bytes
        for name in self.order.following(self._last, self._ahead):
            if name in self._waiting or name in self._useless or is_there(name):
                continue
            return name if self._sizes[name] <= room else None
        return None

    def brought(self, name: bytes) -> None:
        """Count a file that was brought because `wanted` named it."""
        self._waiting[name] = self.tally.asked
        self.tally.ahead += 1
        self.tally.ahead_bytes += self._sizes[name]
