"""Fetch the chunks that a device lacks. Pure: it is told what arrived and what was stored, and says what to do.

`edge_runtime.transfer` drives it: it publishes each `Request`, hands each `Store` to the disk (which unpacks, checks
the digest and writes), and on `Commit` makes the data durable first and the bitmap after it. Only `Committed` chunks
count as here, so a crash never loses more than one batch and the window. What the bitmap has is never asked for.

A request counts as lost when nothing at all has come for a time-out, or when later requests are being answered and this
one has stood still that long. Bytes in the window are those asked for and those on their way to the disk, so memory is
bounded by it too; and what is on the disk and not yet durable counts as far as it is more than one batch. So whatever
happens, the window and one batch are the most that has to come again.

Longer than 400 lines because every step works on one state; headings tell its parts apart.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeVar

from toolkit.errors import IntegrityError
from toolkit.protocol.bitmap import Bitmap
from toolkit.protocol.buckets import Bucket, Rate
from toolkit.protocol.exchange import (
    ChunkBad,
    ChunksStored,
    ChunkStored,
    Commit,
    Committed,
    Disconnected,
    Finished,
    FrameArrived,
    GivenUp,
    Reconnected,
    Request,
    Store,
    Tick,
)
from toolkit.protocol.pace import Pace, PaceSettings
from toolkit.protocol.reassembly import Arriving, add_piece
from toolkit.protocol.record import replace
from toolkit.wire.digest import Digest
from toolkit.wire.frame import Frame, FrameKind, Piece, decode_frame
from toolkit.wire.index import ChunkRef
from toolkit.wire.request import ChunkRequest, runs_of

T = TypeVar("T")
MAX_BAD: Final = 3
"""Times in a row that one chunk may come damaged."""
MAX_ASKED: Final = 1024
"""Chunks in one request; keeps a request small even if no two are neighbours."""
COMMIT_BYTES: Final = 1024 * 1024
COMMIT_CHUNKS: Final = 256
COMMIT_SECONDS: Final = 1.0
_NO_LIMIT: Final = Bucket(Rate(), 0.0, 0.0)
_REFILL: Final = 0.75
"""The window is filled up when it is at most this full, so that one request asks for several chunks."""

TransferEvent = (
    FrameArrived | ChunkStored | ChunksStored | ChunkBad | Committed | Tick | Reconnected | Disconnected
)
TransferAction = Request | Store | Commit | Finished | GivenUp


@dataclass(frozen=True)
class Asked:
    """A request that is under way."""

    at: float
    progress_at: float
    left: int
    """Chunks of it that have not come."""
    answered: bool = False


@dataclass(frozen=True)
class Counters:
    """What came over the link; `received` and `resent` in stored bytes."""

    received: int = 0
    resent: int = 0
    bad: int = 0


@dataclass(frozen=True)
class Transfer:
    """Where the fetching of one artifact's chunks stands. Each chunk is in at most one of the four places."""

    device: str
    artifact: Digest
    chunks: tuple[ChunkRef, ...]
    have: Bitmap
    max_frame_bytes: int
    pace: Pace
    epoch: int = 0
    connected: bool = False
    cursor: int = 0
    """Chunks from here on were never asked for."""
    again: tuple[int, ...] = ()
    """Chunks before the cursor that are to be asked for again."""
    outstanding: dict[int, int] = field(default_factory=dict)
    """Asked for and not yet here: number -> epoch."""
    storing: frozenset[int] = frozenset()
    stored: tuple[int, ...] = ()
    """On the disk, not yet durable."""
    committing: frozenset[int] = frozenset()
    stored_at: float = 0.0  # the first of `stored`
    in_window: int = 0
    """Bytes of `outstanding` and `storing`."""
    undurable: int = 0
    """Bytes of `stored` and `committing`."""
    requests: dict[int, Asked] = field(default_factory=dict)
    arriving: dict[int, Arriving] = field(default_factory=dict)
    arrived_at: float = 0.0
    newest: tuple[int, float] = (-1, -1.0)
    """The latest request that has been answered, and when last."""
    bad: dict[int, int] = field(default_factory=dict)
    counters: Counters = Counters()
    limit: Bucket = _NO_LIMIT
    """What may be asked for in a second, in unpacked bytes."""
    finished: bool = False

    @property
    def used(self) -> int:
        """What counts against the window."""
        return self.in_window + max(0, self.undurable - COMMIT_BYTES)

    def is_here(self, number: int) -> bool:
        """Tell whether a chunk has come, durable or on its way to be."""
        here = number in self.have or number in self.storing or number in self.committing
        return here or number in self.stored


Result = tuple[Transfer, tuple[TransferAction, ...]]


def begin(
    device: str,
    artifact: Digest,
    chunks: tuple[ChunkRef, ...],
    have: Bitmap,
    *,
    epoch: int = 0,
    max_frame_bytes: int,
    settings: PaceSettings,
) -> Result:
    """Prepare to fetch what `have` lacks of `chunks` (`distinct_chunks` of the index).

    Nothing is asked for before `Reconnected`. If nothing is lacking, the answer is `Finished` at once.
    """
    held = Transfer(device, artifact, chunks, have, max_frame_bytes, Pace.begin(settings), epoch)
    return (replace(held, finished=True), (Finished(),)) if have.full else (held, ())


def limited(held: Transfer, rate: Rate, now: float) -> Transfer:
    """Hold it to a rate from now on; the debt that it has is forgotten."""
    return held if held.limit.rate == rate else replace(held, limit=Bucket.full(rate, now))


def step(held: Transfer, event: TransferEvent, now: float) -> Result:
    """Decide what follows from what happened; `now` in seconds of a clock that does not go back."""
    if held.finished:
        return held, ()
    if isinstance(event, FrameArrived):
        return _frame(held, event.payload, now)
    if isinstance(event, ChunkStored):
        return _stored(held, (event.number,), now)
    if isinstance(event, ChunksStored):
        return _stored(held, event.numbers, now)
    if isinstance(event, ChunkBad):
        return _damaged(held, event.number, now)
    if isinstance(event, Committed):
        return _committed(held, event.numbers, now)
    if isinstance(event, Tick):
        return _tick(held, now)
    held = _give_back(replace(held, connected=isinstance(event, Reconnected)), list(held.requests))
    return _refill(held, now)


# ---------------------------------------------------------------- asking
def _refill(held: Transfer, now: float, *, at_once: bool = False) -> Result:
    left = held.limit.left(now)
    room = min(held.pace.window - held.used, left)
    too_full = held.used > _REFILL * held.pace.window and not at_once
    if not held.connected or now < held.pace.paused_until or too_full or left < held.limit.rate.sip:
        return held, ()
    numbers: list[int] = []
    wanted = (number for number in held.again if number not in held.outstanding)
    again = list(dict.fromkeys(number for number in wanted if not held.is_here(number)))
    fresh = (number for number in held.have.missing(held.cursor) if not held.is_here(number))
    used, cursor, taken = 0, held.cursor, 0
    for number in islice(_chain(again, fresh), MAX_ASKED):
        size = held.chunks[number].size
        # At least one chunk is always under way, however small the window.
        if used + size > room and (numbers or held.used):
            break
        numbers.append(number)
        used += size
        if taken < len(again):
            taken += 1
        else:
            cursor = number + 1
    if not numbers:
        return replace(held, again=tuple(again)), ()
    numbers.sort()
    epoch = held.epoch + 1
    request = ChunkRequest(
        device=held.device,
        artifact=held.artifact,
        epoch=epoch,
        runs=runs_of(numbers),
        max_frame_bytes=held.max_frame_bytes,
    )
    asked = replace(
        held,
        epoch=epoch,
        cursor=cursor,
        again=tuple(again[taken:]),
        outstanding={**held.outstanding, **dict.fromkeys(numbers, epoch)},
        in_window=held.in_window + used,
        requests={**held.requests, epoch: Asked(now, now, len(numbers))},
        limit=held.limit.charged(used, now),
    )
    return asked, (Request(request),)


def _chain(again: list[int], fresh: Iterable[int]) -> Iterable[int]:
    yield from again
    yield from fresh


def _give_back(held: Transfer, epochs: list[int]) -> Transfer:
    """Take the unanswered chunks of these requests out of the window, to be asked for again."""
    if not epochs:
        return held
    given_up = set(epochs)
    lost = sorted(number for number, epoch in held.outstanding.items() if epoch in given_up)
    return replace(
        held,
        again=(*held.again, *lost),
        outstanding={number: epoch for number, epoch in held.outstanding.items() if epoch not in given_up},
        in_window=held.in_window - sum(held.chunks[number].size for number in lost),
        requests={epoch: asked for epoch, asked in held.requests.items() if epoch not in given_up},
        arriving={number: piece for number, piece in held.arriving.items() if number not in set(lost)},
    )


def _tick(held: Transfer, now: float) -> Result:
    actions: tuple[TransferAction, ...] = ()
    lost = _lost(held, now)
    if lost:
        held = _give_back(replace(held, pace=held.pace.lost(held.epoch + 1)), lost)
    if held.stored and now - held.stored_at >= COMMIT_SECONDS:
        held, actions = _commit(held)
    held, more = _refill(held, now)
    return held, actions + more


def _lost(held: Transfer, now: float) -> list[int]:
    timeout = held.pace.timeout
    newest, newest_at = held.newest
    return [
        epoch
        for epoch, asked in held.requests.items()
        if now - max(asked.at, held.arrived_at) >= timeout
        or (now - asked.progress_at >= timeout and newest > epoch and newest_at > asked.progress_at)
    ]


# ---------------------------------------------------------------- what arrives
def _frame(held: Transfer, payload: bytes, now: float) -> Result:
    try:
        frame = decode_frame(payload)
    except IntegrityError:
        return replace(held, counters=replace(held.counters, bad=held.counters.bad + 1)), ()
    if not frame.belongs_to(held.artifact):
        return held, ()
    if frame.kind is FrameKind.REFUSAL:
        pace, given_up = held.pace.refused(frame, now)
        held = _give_back(replace(held, pace=pace, finished=given_up is not None), [frame.epoch])
        return held, (given_up,) if given_up else ()
    if frame.kind is not FrameKind.CHUNKS:
        return held, ()
    held, actions = _take(held, frame, now)
    if held.finished:
        return held, actions
    held, more = _refill(held, now, at_once=not held.requests)
    return held, actions + more


def _take(held: Transfer, frame: Frame, now: float) -> Result:
    newest = (frame.epoch, now) if held.newest[0] <= frame.epoch <= held.epoch else held.newest
    held = replace(held, arrived_at=now, newest=newest)
    asked = held.requests.get(frame.epoch)
    if asked is not None:
        if not asked.answered:
            held = replace(held, pace=held.pace.answered(now - asked.at))
        progressed = replace(asked, progress_at=now, answered=True)
        held = replace(held, requests={**held.requests, frame.epoch: progressed})
    if all(_is_plain(held, piece) for piece in frame.pieces):
        return _take_whole(held, frame.pieces)
    actions: list[TransferAction] = []
    for piece in frame.pieces:
        held, more = _take_piece(held, piece, now)
        actions.extend(more)
        if held.finished:
            break
    return held, tuple(actions)


def _is_plain(held: Transfer, piece: Piece) -> bool:
    """Tell whether this is what nearly all pieces are: a whole chunk of its size, and one that was asked for."""
    return piece.whole and piece.number in held.outstanding and _fits(held, piece)


def _fits(held: Transfer, piece: Piece) -> bool:
    """Tell whether a chunk may have this size: stored, it is its bytes and one that names the coding, at most."""
    return piece.total <= held.chunks[piece.number].size + 1


def _take_whole(held: Transfer, pieces: tuple[Piece, ...]) -> Result:
    """Take a frame of plain pieces in one go, because each new state costs."""
    outstanding, requests, pace = dict(held.outstanding), dict(held.requests), held.pace.progressed()
    stores: dict[int, Store] = {}
    answered: dict[int, int] = {}
    for piece in pieces:
        if piece.number not in stores:
            epoch = outstanding.pop(piece.number)
            answered[epoch] = answered.get(epoch, 0) + 1
            stores[piece.number] = Store(piece.number, piece.data)
    for epoch, count in answered.items():
        asked = requests.get(epoch)
        if asked is not None and asked.left > count:
            requests[epoch] = replace(asked, left=asked.left - count)
        elif asked is not None:
            del requests[epoch]
            pace = pace.completed(epoch, held.epoch + 1)
    received = sum(len(piece.data) for piece in pieces)
    resent = received - sum(len(store.stored) for store in stores.values())
    counters = held.counters
    held = replace(
        held,
        outstanding=outstanding,
        requests=requests,
        storing=held.storing.union(stores),
        pace=pace,
        counters=replace(counters, received=counters.received + received, resent=counters.resent + resent),
        arriving=_without(held.arriving, stores),
    )
    return held, tuple(stores.values())


def _without(places: dict[int, T], numbers: Container[int]) -> dict[int, T]:
    """Give a copy without some numbers; the same if there is nothing in it, as is most often so."""
    return {number: place for number, place in places.items() if number not in numbers} if places else places


def _take_piece(held: Transfer, piece: Piece, now: float) -> Result:
    number, length = piece.number, len(piece.data)
    if number >= len(held.chunks):
        return held, ()
    known = held.is_here(number)
    counters = held.counters
    resent = counters.resent + (length if known else 0)
    held = replace(held, counters=replace(counters, received=counters.received + length, resent=resent))
    if known:
        return held, ()
    if not _fits(held, piece):
        return _damaged(held, number, now)
    if not piece.whole:
        if number not in held.outstanding:
            return held, ()
        arriving, whole = add_piece(held.arriving.get(number), piece)
        if whole is None:
            return replace(held, arriving={**held.arriving, number: arriving}), ()
        return _store(held, number, whole)
    return _store(held, number, piece.data)


def _store(held: Transfer, number: int, stored: bytes | memoryview) -> Result:
    size = 0 if number in held.outstanding else held.chunks[number].size
    if size and held.used + size > held.pace.settings.max_window:
        return held, ()  # nobody asked for it now, and the disk does not keep up
    held = _close(held, number)
    held = replace(
        held,
        storing=held.storing | {number},
        in_window=held.in_window + size,
        pace=held.pace.progressed(),
        arriving=_without(held.arriving, {number}),
    )
    return held, (Store(number, stored),)


def _close(held: Transfer, number: int) -> Transfer:
    """Note that a chunk which was asked for has come (its bytes stay in the window until they are on the disk)."""
    epoch = held.outstanding.get(number)
    if epoch is None:
        return held
    outstanding = dict(held.outstanding)
    del outstanding[number]
    requests, pace = dict(held.requests), held.pace
    asked = requests.get(epoch)
    if asked is not None and asked.left > 1:
        requests[epoch] = replace(asked, left=asked.left - 1)
    elif asked is not None:
        del requests[epoch]
        pace = pace.completed(epoch, held.epoch + 1)
    return replace(held, outstanding=outstanding, requests=requests, pace=pace)


# ---------------------------------------------------------------- what the disk says
def _stored(held: Transfer, numbers: tuple[int, ...], now: float) -> Result:
    known = [number for number in numbers if number in held.storing]
    if not known:
        return held, ()
    come = sum(held.chunks[number].size for number in known)
    held = replace(
        held,
        storing=held.storing.difference(known),
        stored=(*held.stored, *known),
        stored_at=held.stored_at if held.stored else now,
        in_window=held.in_window - come,
        undurable=held.undurable + come,
        bad=_without(held.bad, known),
    )
    actions: tuple[TransferAction, ...] = ()
    idle = not held.outstanding and not held.storing
    last = idle and all(held.is_here(each) for each in held.have.missing())
    if last or _is_batch(held):
        held, actions = _commit(held)
    held, more = _refill(held, now)
    return held, actions + more


def _committed(held: Transfer, numbers: tuple[int, ...], now: float) -> Result:
    size = sum(held.chunks[number].size for number in numbers)
    held = replace(
        held,
        have=held.have.with_set(numbers),
        committing=held.committing.difference(numbers),
        undurable=held.undurable - size,
    )
    if held.have.full:
        return replace(held, finished=True), (Finished(),)
    held, actions = _commit(held) if _is_batch(held) else (held, ())
    held, more = _refill(held, now)
    return held, actions + more


def _is_batch(held: Transfer) -> bool:
    """Tell whether to commit now: one batch at a time, so that a slow disk gets larger batches and not a queue."""
    many = held.undurable >= COMMIT_BYTES or len(held.stored) >= COMMIT_CHUNKS
    return many and not held.committing and bool(held.stored)


def _commit(held: Transfer) -> Result:
    numbers = held.stored
    held = replace(held, stored=(), committing=held.committing | set(numbers))
    return held, (Commit(numbers),)


def _damaged(held: Transfer, number: int, now: float) -> Result:
    """Count a bad chunk and ask for it again at once; give up when it is bad every time."""
    if number in held.storing:
        in_window = held.in_window - held.chunks[number].size
    elif number in held.outstanding:
        in_window = held.in_window - held.chunks[number].size
        held = _close(held, number)
    else:
        return held, ()
    times = held.bad.get(number, 0) + 1
    held = replace(
        held,
        storing=held.storing - {number},
        in_window=in_window,
        again=(number, *held.again),
        arriving={each: piece for each, piece in held.arriving.items() if each != number},
        bad={**held.bad, number: times},
        counters=replace(held.counters, bad=held.counters.bad + 1),
    )
    if times < MAX_BAD:
        return _refill(held, now, at_once=True)
    digest = held.chunks[number].digest
    why = f"chunk {number} ({digest[:12]}) came damaged {times} times in a row"
    return replace(held, finished=True), (GivenUp("chunk-damaged", why),)
