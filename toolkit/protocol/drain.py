"""How an outbox empties itself into a receiver: what to ask, read, send and delete next; `edge_runtime.drain` acts.

    connected, or silence -> Ask -> answer: what is stored -> Read, Send ... inside a window -> Delete what is stored

Each priority is a stream in order of seq, and the most urgent stream that has something goes first. Nothing is deleted
before an answer says that it is stored. A lost batch shows as a gap (the receiver takes none that comes too early) or
as silence; then all that is on its way counts as lost and is read again from what is stored: going back N, while the
receiver leaves out what it knows. A receiver that is away costs one small question a minute. Pure but for its dice.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Final

from toolkit.wire.records import PRIORITIES, Marks, RecordsAnswer

WINDOW: Final = 16
"""Batches on their way at most."""
WINDOW_BYTES: Final = 2 * 1024 * 1024
FIRST_PATIENCE: Final = 5.0
"""Seconds without an answer after which all counts as lost; doubles up to LONGEST_PATIENCE."""
LONGEST_PATIENCE: Final = 60.0
_SPREAD: Final = 0.5
"""Share of a pause by which it is shortened at random, so that a fleet does not speak at once."""


@dataclass(frozen=True)
class Ask:
    """Send a batch without records."""

    round: int


@dataclass(frozen=True)
class Read:
    """Read what follows in the most urgent stream that has something, and tell `read_done`."""

    round: int
    after: Marks


@dataclass(frozen=True)
class Delete:
    """Delete what is stored."""

    stored: Marks


@dataclass(frozen=True)
class BeginEpoch:
    """The receiver knows more of this epoch than we ever wrote: we are an old copy and need another epoch."""


Action = Ask | Read | Delete | BeginEpoch


@dataclass(frozen=True)
class _Sent:
    priority: int
    last: int
    size: int


@dataclass
class Drain:
    """Where draining stands. Times are seconds of the caller's clock, any that only goes on."""

    random: Random = field(default_factory=Random)
    round: int = 0
    """Grows whenever all begins again from what is stored."""
    connected: bool = False
    known: bool = False
    """Whether the receiver has said, since we are connected, what it has stored."""
    stored: Marks = (0, 0, 0)
    """By the receiver's last word."""
    held_until: float = 0.0
    """The receiver wants nothing before."""
    problem: str = ""
    """Why the receiver does not take records, in its words; empty when it does."""
    _sent: Marks = (0, 0, 0)
    _on_its_way: deque[_Sent] = field(default_factory=deque)
    _window: int = 1
    _patience: float = FIRST_PATIENCE
    _deadline: float = 0.0
    _reading: bool = False
    _empty: bool = False
    """The last read found nothing, and nothing was put down since it began."""
    _news: bool = False
    """Something was put down since the last read began."""

    def began(self, now: float) -> list[Action]:
        """Take up a new connection."""
        self.connected = True
        self._patience = FIRST_PATIENCE
        return self._begin_again(now)

    def ended(self) -> None:
        """Take note that the connection is lost."""
        self.connected = False
        self._forget_sent()

    def filled(self) -> list[Action]:
        """Take note that something new was put down."""
        self._empty = False
        self._news = True
        return self._more()

    def tick(self, now: float) -> list[Action]:
        """Look at the time."""
        if not self.connected or now < self.held_until:
            return []
        if self.held_until:
            self.held_until = 0.0
            return self._begin_again(now)
        if (not self.known or self._on_its_way) and now >= self._deadline:
            self._patience = min(self._patience * 2, LONGEST_PATIENCE)
            return self._begin_again(now)
        return self._more()

    def read_done(self, round_: int, priority: int, last: int, size: int, now: float) -> bool:
        """Take note of what a Read found, up to `last`, and say whether to send it; a priority of 0 is nothing."""
        if round_ != self.round:
            return False
        self._reading = False
        if not self.connected or not self.known:
            return False
        if not priority:
            self._empty = not self._news
            return False
        if not self._on_its_way:
            self._deadline = self._patient(now)
        self._sent = _raised(self._sent, priority, last)
        self._on_its_way.append(_Sent(priority, last, size))
        return True

    def more(self) -> list[Action]:
        """Say what follows after a batch was sent."""
        return self._more()

    def answered(self, answer: RecordsAnswer, last_seq: int, now: float) -> list[Action]:
        """Take an answer for this outbox' epoch; `last_seq` is the last number that it has given."""
        if max(answer.stored) > last_seq:
            self._forget_sent()
            self.stored, self._sent = (0, 0, 0), (0, 0, 0)
            return [BeginEpoch()]
        actions: list[Action] = []
        if not self.known or any(new > old for new, old in zip(answer.stored, self.stored, strict=True)):
            actions.append(Delete(answer.stored))
        if answer.round != self.round:
            return actions
        self.problem = answer.message if answer.code in {"busy", "full"} else ""
        if answer.code in {"busy", "full"}:
            self._forget_sent()
            pause = max(answer.retry_ms / 1000, 0.1)
            self.held_until = now + pause * (1 + _SPREAD * self.random.random())
            return actions
        if answer.code == "gap" or not self.known:
            # What the receiver says counts, also where it knows less than before: it may have lost its store.
            self._window = max(self._window // 2, 1) if self.known else 1
            self._forget_sent()
            self.round += answer.code == "gap"
            self.known = True
            self.stored = self._sent = answer.stored
            return [*actions, *self._more()]
        self.stored = _highest(self.stored, answer.stored)
        came = len(self._on_its_way)
        while self._on_its_way and self._is_stored(self._on_its_way[0]):
            self._on_its_way.popleft()
        if came > len(self._on_its_way):
            self._window = min(self._window * 2, WINDOW)
            self._patience = FIRST_PATIENCE
            self._deadline = self._patient(now)
        return [*actions, *self._more()]

    # ------------------------------------------------------------ inside
    def _begin_again(self, now: float) -> list[Action]:
        self._forget_sent()
        self.round += 1
        self._window = 1
        self._deadline = self._patient(now)
        return [Ask(self.round)]

    def _forget_sent(self) -> None:
        self.known = False
        self._reading = self._empty = False
        self._on_its_way.clear()
        self._sent = self.stored

    def _patient(self, now: float) -> float:
        return now + self._patience * (1 + _SPREAD * self.random.random())

    def _more(self) -> list[Action]:
        room = sum(each.size for each in self._on_its_way) < WINDOW_BYTES
        if (
            self.known
            and room
            and not self._reading
            and not self._empty
            and len(self._on_its_way) < self._window
        ):
            self._reading, self._news = True, False
            return [Read(self.round, self._sent)]
        return []

    def _is_stored(self, sent: _Sent) -> bool:
        return self.stored[sent.priority - 1] >= sent.last


def _raised(marks: Marks, priority: int, last: int) -> Marks:
    first, second, third = (
        last if each == priority else old for each, old in zip(PRIORITIES, marks, strict=True)
    )
    return (first, second, third)


def _highest(one: Marks, other: Marks) -> Marks:
    return (max(one[0], other[0]), max(one[1], other[1]), max(one[2], other[2]))
