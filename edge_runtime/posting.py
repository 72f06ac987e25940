"""Where records are put down: any thread posts, one thread writes what gathered in one durable step (group commit).

    daemon's journal, local programs -> Outbox.put -> queue in memory -> thread "outbox" -> OutboxFile
    drain -> read, forget                               (the same queue, the same thread)

**Accepted** means: the future of `put` has its result. From then on the record survives a kill and a power cut, and is
kept until it is stored at the other end or dropped for want of room, which is counted. Until then it may be lost with
the process: what is put with `urgent` waits for no company and is written at once, other records wait up to
`gather_seconds`, which spares a flash disk hundreds of writes a minute.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, TypeVar

from edge_runtime.outbox import ROW_OVERHEAD, Entry, Fill, OutboxFile
from toolkit.errors import IntegrityError, StoreError, TiersError
from toolkit.wire.records import MAX_PAYLOAD_BYTES, PRIORITIES, Marks, Record, check_kind

log = logging.getLogger(__name__)
T = TypeVar("T")
GATHER_SECONDS: Final = 1.0
WAITING_BYTES: Final = 4 * 1024 * 1024
"""Of records in memory; more are refused."""
MAX_TOGETHER_BYTES: Final = 128 * 1024
"""Cost of what one call puts down together."""
_FILL_SECONDS: Final = 1.0


class BusyOutboxError(StoreError):
    """More is put down than the disk takes."""

    retryable = True


class Note(NamedTuple):
    """What somebody wants to put down."""

    kind: str
    priority: int
    payload: bytes


class Stamp(NamedTuple):
    """When something was put down; fields as in `toolkit.wire.records.Record`."""

    at_ms: int
    up_ms: int
    trusted: bool


@dataclass(frozen=True)
class _Put:
    entries: Sequence[Entry]
    cost: int
    done: Future[int]


class Outbox:
    """The device's outbox while it is open. Any thread may call."""

    def __init__(
        self, file: OutboxFile, stamp: Callable[[], Stamp], *, gather_seconds: float = GATHER_SECONDS
    ) -> None:
        """Begin to take records; `close` ends the thread and closes the file."""
        self._file = file
        self._stamp = stamp
        self._gather_seconds = gather_seconds
        self._changed = threading.Condition()
        self._calls: list[Callable[[], None]] = []
        self._puts: deque[_Put] = deque()
        self._waiting_bytes = 0
        self._due = 0.0
        """When what waits shall be written, on the monotonic clock; 0 is at once."""
        self._stored: Marks | None = None
        """What may be deleted, up to `_stored_due` later."""
        self._stored_due = 0.0
        self._ending = False
        self._refused: Counter[str] = Counter()
        self._fill, self._filled_at = file.fill(), time.monotonic()
        self.on_stored: Callable[[], None] = lambda: None
        """Called by the outbox' thread when there is something new to drain."""
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------ in
    def put(self, kind: str, priority: int, payload: bytes, *, urgent: bool = False) -> Future[int]:
        """Put one record down; the future gives its seq when it is accepted. See `put_all`."""
        return self.put_all([Note(kind, priority, payload)], urgent=urgent)

    def put_all(self, notes: Sequence[Note], *, urgent: bool = False) -> Future[int]:
        """Put records down, together or not at all; the future gives the seq of the first when they are accepted.

        Args:
            notes: at most MAX_TOGETHER_BYTES, payloads of at most MAX_PAYLOAD_BYTES.
            urgent: write at once; somebody waits.

        Raises:
            IntegrityError: a kind, a priority or a size cannot be.
            BusyOutboxError: too much waits already; nothing of it is kept.
            StoreError: the outbox is closed. The future fails with it when the disk did not take the records.
        """
        stamp = self._stamp()
        entries = [Entry(check_kind(each.kind), each.priority, *stamp, each.payload) for each in notes]
        for each in entries:
            if each.priority not in PRIORITIES or len(each.payload) > MAX_PAYLOAD_BYTES:
                message = f"a record of priority {each.priority} and {len(each.payload)} bytes"
                raise IntegrityError(message, hint=f"priority 1 to 3, at most {MAX_PAYLOAD_BYTES} bytes")
        cost = sum(each.cost for each in entries)
        if cost > MAX_TOGETHER_BYTES:
            message = f"{len(entries)} records take {cost} bytes together, at most {MAX_TOGETHER_BYTES}"
            raise IntegrityError(message, hint=f"put fewer at once; each counts {ROW_OVERHEAD} bytes more")
        done: Future[int] = Future()
        with self._changed:
            if self._ending:
                raise StoreError("the outbox is closed", hint="the daemon is ending; try again when it runs")
            if self._waiting_bytes + cost > WAITING_BYTES:
                self._count_refused(entries)
                raise BusyOutboxError("records come faster than the disk takes them", hint="try again later")
            if not self._puts:
                self._due = time.monotonic() + self._gather_seconds
            if urgent:
                self._due = 0.0
            self._puts.append(_Put(entries, cost, done))
            self._waiting_bytes += cost
            if urgent or len(self._puts) == 1 or self._waiting_bytes >= self._file.step_bytes:
                self._changed.notify()
        return done

    # ------------------------------------------------------------ out
    @property
    def epoch(self) -> str:
        """What tells this outbox from those that the device had before."""
        return self._file.epoch

    @property
    def last_seq(self) -> int:
        """The last number that was given to a record that is durable."""
        return self._file.last_seq

    @property
    def dropped(self) -> Marks:
        """How many records of each priority were dropped."""
        return self._file.dropped_marks

    @property
    def refused(self) -> dict[str, int]:
        """Kind -> records that were not accepted since the start: too many at once, or the disk did not take them."""
        return dict(self._refused)

    def fill(self) -> Fill:
        """Say how full it was, at most a second ago where records come and go."""
        return self._fill

    def read(self, priority: int, after: int, max_bytes: int) -> Future[list[Record]]:
        """Give records in order; see `OutboxFile.read`."""
        return self._call(partial(self._file.read, priority, after, max_bytes))

    def forget(self, stored: Marks) -> None:
        """Delete what is stored elsewhere, see `OutboxFile.forget`, after `gather_seconds`.

        Until then it may be sent again, which the receiver knows; or be counted as dropped, if room is short.
        """
        with self._changed:
            if self._stored is None:
                self._stored_due = time.monotonic() + self._gather_seconds
                self._changed.notify()
            self._stored = stored

    def begin_epoch(self) -> Future[None]:
        """Take a new epoch; see `OutboxFile.begin_epoch`."""
        return self._call(self._file.begin_epoch)

    def settled(self) -> Future[Fill]:
        """Write what waits, at once, then say how full it is."""
        return self._call(self._settle)

    def close(self, seconds: float = 10.0) -> None:
        """Write what waits, end the thread, close the file; wait for that so many seconds at most."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(seconds)

    # ------------------------------------------------------------ the thread
    def _call(self, work: Callable[[], T]) -> Future[T]:
        done: Future[T] = Future()

        def job() -> None:
            try:
                done.set_result(work())
            except Exception as error:  # noqa: BLE001 -- it is the caller's
                done.set_exception(error)

        with self._changed:
            if self._ending:
                done.set_exception(StoreError("the outbox is closed"))
                return done
            self._calls.append(job)
            self._changed.notify()
        return done

    def _run(self) -> None:
        ended = False
        while not ended:
            with self._changed:
                while not (self._ending or self._calls or self._is_due() or self._may_forget()):
                    self._changed.wait(self._patience())
                calls, self._calls = self._calls, []
                puts = self._take() if self._ending or self._is_due() else []
                stored, self._stored = (self._stored, None) if self._may_forget() else (None, self._stored)
                ended = self._ending and not (calls or puts)
            for call in calls:
                call()
            self._forget(stored)
            self._write(puts)
            if time.monotonic() - self._filled_at >= _FILL_SECONDS or not self._puts:
                try:
                    self._look()
                except TiersError as error:
                    log.error("%s; %s", error.message, error.hint)  # noqa: TRY400 -- explained, not a fault
        self._file.close()

    def _patience(self) -> float | None:
        moments = ([self._due] if self._puts else []) + ([] if self._stored is None else [self._stored_due])
        return max(min(moments) - time.monotonic(), 0.0) if moments else None

    def _may_forget(self) -> bool:
        return self._stored is not None and (self._ending or time.monotonic() >= self._stored_due)

    def _forget(self, stored: Marks | None) -> None:
        if stored is None:
            return
        try:
            self._file.forget(stored)
        except Exception as error:  # noqa: BLE001 -- they are there still, and are sent again
            log.error("what is stored elsewhere was not deleted: %s", error)  # noqa: TRY400

    def _is_due(self) -> bool:
        full = self._waiting_bytes >= self._file.step_bytes
        return bool(self._puts) and (full or time.monotonic() >= self._due)

    def _take(self) -> list[_Put]:
        """Take the puts that fit into one transaction."""
        taken: list[_Put] = []
        room = self._file.step_bytes
        while self._puts and (not taken or self._puts[0].cost <= room):
            taken.append(self._puts.popleft())
            room -= taken[-1].cost
            self._waiting_bytes -= taken[-1].cost
        return taken

    def _settle(self) -> Fill:
        while True:
            with self._changed:
                puts = self._take()
                stored, self._stored = self._stored, None
            self._write(puts)
            self._forget(stored)
            if not puts:
                return self._look()

    def _write(self, puts: list[_Put]) -> None:
        if not puts:
            return
        entries = [entry for put in puts for entry in put.entries]
        try:
            seq = self._file.append(entries)
        except Exception as error:  # noqa: BLE001 -- those who put them down are told
            log.error("%d records were not accepted: %s", len(entries), error)  # noqa: TRY400
            self._count_refused(entries)
            for put in puts:
                put.done.set_exception(error)
            return
        for put in puts:
            put.done.set_result(seq)
            seq += len(put.entries)
        self.on_stored()

    def _look(self) -> Fill:
        self._fill, self._filled_at = self._file.fill(), time.monotonic()
        return self._fill

    def _count_refused(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._refused[entry.kind] += 1
