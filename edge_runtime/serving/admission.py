"""Who may wait for one model, in which order they go, and who has to leave when it gets full.

`batcher` lets requests in on the event loop and takes batches out on the engine's thread, hence the lock. All rules are
here, and nothing else is: no clock but the moments that callers give, no thread, no loop.

Places  A queue without an end turns an overload into time-outs for everybody. So there are `places`; the requests that
        the engine works on need none. When all are taken, the newest request of the least urgent class leaves for a
        more urgent one, and whoever is no more urgent than all that wait is refused.
Order   Emergencies first, in the order that they came, and nothing rides with them that would make their call longer.
        So an emergency waits for the call that runs, and for one call at most for each emergency before it.
        All others by turn: a normal request's turn is the moment it came, a batch request's `ageing_seconds` later. So
        a batch request lets pass what comes within that time, and nothing that comes after it.
        Whoever is first goes with the next call, however many rows it has; those behind it fill the call up.
Bound   Besides emergencies, at most places - 1 other requests are in the room at anybody's turn, each call takes one
        at least, and one call runs. So a request that is not shed starts at the latest after
            its ageing + places x the longest call + the time that emergencies took meanwhile.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge_runtime.serving.ask import Priority
from edge_runtime.serving.refusals import OverloadedError
from edge_runtime.serving.ticket import Mould, Ticket

AGEING_SECONDS: Final = 2.0
"""By so much later than a normal request's is the turn of a batch request that came with it."""
LONGEST_RETRY: Final = 60
"""Seconds; nobody is sent away for longer, because what takes so long may be over sooner."""
_STEADY: Final = 0.8
"""Share of its past that the running mean of the time per request keeps with each call."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests that leave for the engine together."""

    tickets: tuple[Ticket, ...]
    late: tuple[Ticket, ...]
    """Those whose deadline was over, found on the way."""
    reason: str
    """What the batch left for, and not with more: full, urgent, other_shape, or empty when nobody else was there."""


class Admission:
    """The waiting room of one version of a model."""

    def __init__(self, places: int, *, ageing_seconds: float = AGEING_SECONDS) -> None:
        """Make room for this many waiting requests."""
        self.places = max(places, 1)
        self.running: tuple[Ticket, ...] = ()
        """What the engine works on."""
        self._ageing = ageing_seconds
        self._lines: tuple[dict[Mould, deque[Ticket]], ...] = tuple({} for _ in range(max(Priority) + 1))
        """By priority and shape; a tuple, because an enumeration's hash would cost more than all the rest here."""
        self._waiting = 0
        self._rows = 0
        self._seconds_each = 0.0
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return self._waiting

    @property
    def rows(self) -> int:
        """How many rows they have together."""
        return self._rows

    @property
    def retry_seconds(self) -> int:
        """Say when there should be room again: what waits, at the pace of the last calls; at least 1 second."""
        return min(max(math.ceil(self._waiting * self._seconds_each), 1), LONGEST_RETRY)

    @property
    def fill(self) -> tuple[float, float, float]:
        """Say which share of the places is taken: by emergencies, by these and normal requests, by all."""
        with self._lock:
            counts = [sum(map(len, self._lines[each].values())) for each in Priority]
        urgent, normal, _ = (sum(counts[: number + 1]) / self.places for number in range(len(counts)))
        return urgent, normal, sum(counts) / self.places

    def pace(self, seconds: float, requests: int) -> None:
        """Learn how long a call with so many requests took."""
        each = seconds / requests
        before = self._seconds_each
        self._seconds_each = _STEADY * before + (1 - _STEADY) * each if before else each

    def enter(self, ticket: Ticket) -> Ticket | None:
        """Take a place, and give the request that had to leave for this one, if any.

        Raises:
            OverloadedError: all places are taken, by requests that are as urgent or more.
        """
        with self._lock:
            shed = self._make_place(ticket.priority) if self._waiting >= self.places else None
            lines = self._lines[ticket.priority]
            line = lines.get(ticket.mould)
            if line is None:
                line = lines[ticket.mould] = deque()
            line.append(ticket)
            self._waiting += 1
            self._rows += ticket.rows
            return shed

    def refusal(self) -> OverloadedError:
        """Say to somebody that there is no place."""
        return OverloadedError(
            f"{self._waiting} requests are waiting for this model, which is all that may",
            hint="try again later, send fewer at once, or raise the model's `queue`",
            retry_seconds=self.retry_seconds,
        )

    def take(self, max_rows: int, now: float) -> Batch | None:
        """Take out what goes with the next call, in at most `max_rows` rows if they are more than one request's.

        None when nobody waits: then nothing runs either.
        """
        with self._lock:
            late: list[Ticket] = []
            first = self._first(late, now)
            if first is None:
                self.running = ()
                return Batch((), tuple(late), "") if late else None
            if not self._waiting:  # as in most calls of a device that keeps up
                self.running = (first,)
                return Batch(self.running, tuple(late), "full" if first.rows >= max_rows else "")
            batch = [first]
            rows, reason = first.rows, ""
            if rows < max_rows:
                rows, misfits = self._fill(batch, late, max_rows, now)
                reason = "full" if misfits else ""
            if rows >= max_rows:
                reason = "full"
            if not reason and self._waiting:
                reason = "urgent" if first.priority == Priority.EMERGENCY else "other_shape"
            self.running = tuple(batch)
            return Batch(self.running, tuple(late), reason)

    def rest(self) -> None:
        """Take note that nothing runs: what was taken last is answered."""
        self.running = ()

    def gather_until(self, max_rows: int, delay_seconds: float, call_seconds: float) -> tuple[float, str]:
        """Say until when the first in order may wait for company, and what ends that: delay or deadline.

        Nobody waits whose call is full already, nor an emergency: then it is minus infinity. A deadline ends the wait
        so early that a call of `call_seconds` still keeps it.
        """
        with self._lock:
            line = self._next_line()
            if line is None or line[0].priority == Priority.EMERGENCY:
                return -math.inf, ""
            first = line[0]
            company = [each for each in self._tickets() if each.mould == first.mould]
            if sum(each.rows for each in company) >= max_rows:
                return -math.inf, ""
            until = first.arrived + delay_seconds
            nearest = min(each.deadline for each in company) - call_seconds
            return (nearest, "deadline") if nearest < until else (until, "delay")

    def expire(self, now: float) -> tuple[list[Ticket], list[Ticket], float]:
        """Take out whose deadline is over; give them, those of the calls that run, and the nearest other deadline."""
        with self._lock:
            late = [each for each in self._tickets() if each.deadline <= now]
            for ticket in late:
                self._remove(ticket)
            overdue = [each for each in self.running if each.deadline <= now]
            others = (*self._tickets(), *self.running)
            return (
                late,
                overdue,
                min((each.deadline for each in others if each.deadline > now), default=math.inf),
            )

    def forget(self, ticket: Ticket) -> None:
        """Take out a request that nobody waits for any more; harmless when it is gone already."""
        with self._lock:
            self._remove(ticket)

    # ------------------------------------------------------------ inside, with the lock held
    def _tickets(self) -> Iterator[Ticket]:
        return (each for lines in self._lines for line in lines.values() for each in line)

    def _turn(self, ticket: Ticket) -> float:
        return ticket.arrived + self._ageing if ticket.priority == Priority.BATCH else ticket.arrived

    def _make_place(self, priority: Priority) -> Ticket:
        """Take out the newest of the least urgent, if that is less urgent than this."""
        for each in reversed(Priority):
            if each <= priority:
                break
            if lines := self._lines[each]:
                newest = max((line[-1] for line in lines.values()), key=lambda ticket: ticket.arrived)
                self._remove(newest)
                return newest
        raise self.refusal()

    def _remove(self, ticket: Ticket) -> None:
        lines = self._lines[ticket.priority]
        line = lines.get(ticket.mould)
        if line is None:
            return
        if line[-1] is ticket:
            line.pop()
        elif ticket in line:
            line.remove(ticket)
        else:
            return
        self._waiting -= 1
        self._rows -= ticket.rows
        if not line:
            del lines[ticket.mould]

    def _next_line(self) -> deque[Ticket] | None:
        """Find the line whose head goes next."""
        if urgent := self._lines[Priority.EMERGENCY]:
            return min(urgent.values(), key=lambda line: line[0].arrived)
        lines = (*self._lines[Priority.NORMAL].values(), *self._lines[Priority.BATCH].values())
        if len(lines) == 1:
            return lines[0]
        return min(lines, key=lambda line: self._turn(line[0])) if lines else None

    def _first(self, late: list[Ticket], now: float) -> Ticket | None:
        while (line := self._next_line()) is not None:
            ticket = self._pop(line)
            if _is_alive(ticket, late, now):
                return ticket
        return None

    def _pop(self, line: deque[Ticket]) -> Ticket:
        ticket = line.popleft()
        self._waiting -= 1
        self._rows -= ticket.rows
        if not line:
            del self._lines[ticket.priority][ticket.mould]
        return ticket

    def _fill(self, batch: list[Ticket], late: list[Ticket], max_rows: int, now: float) -> tuple[int, bool]:
        """Add those that fit, by turn; give the rows, and whether somebody of this shape had to stay."""
        first, rows, misfits = batch[0], batch[0].rows, False
        urgent = first.priority == Priority.EMERGENCY
        classes = (Priority.EMERGENCY,) if urgent else (Priority.NORMAL, Priority.BATCH)
        lines = [line for each in classes if (line := self._lines[each].get(first.mould)) is not None]
        stayed: list[Ticket] = []
        while lines and rows < max_rows:
            line = lines[0] if len(lines) == 1 else min(lines, key=lambda each: self._turn(each[0]))
            ticket = line.popleft()
            if not line:
                lines = [each for each in lines if each is not line]
            if rows + ticket.rows > max_rows:
                stayed.append(ticket)
                misfits = True
                continue
            self._waiting -= 1
            self._rows -= ticket.rows
            if _is_alive(ticket, late, now):
                batch.append(ticket)
                rows += ticket.rows
        for ticket in reversed(stayed):
            self._lines[ticket.priority][ticket.mould].appendleft(ticket)
        for each in classes:
            if first.mould in self._lines[each] and not self._lines[each][first.mould]:
                del self._lines[each][first.mould]
        return rows, misfits


def _is_alive(ticket: Ticket, late: list[Ticket], now: float) -> bool:
    """Say whether somebody still waits for this one."""
    if ticket.future.done():
        return False
    if ticket.deadline <= now:
        late.append(ticket)
        return False
    return True
