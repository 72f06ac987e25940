"""Fetch an artifact's index, piece by piece. Pure; comes before `transfer`, which needs the index to know the chunks.

The manifest says how large the index is and what its digest must be, so nothing larger is kept. The index is small (36
bytes a chunk) and its pieces come in order; a gap or a silence makes us ask again from where we stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from toolkit.errors import IntegrityError
from toolkit.protocol.exchange import Disconnected, FrameArrived, GivenUp, Reconnected, Request, Tick
from toolkit.protocol.pace import Pace, PaceSettings
from toolkit.protocol.record import replace
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.frame import Frame, FrameKind, decode_frame
from toolkit.wire.request import ChunkRequest

QUIET_SECONDS: Final = 0.05
"""After this long without a further piece the next one is asked for; a depot may send one frame a request, or all."""
MAX_WRONG: Final = 3


@dataclass(frozen=True)
class IndexArrived:
    """The index is whole, and it is the right one."""

    data: bytes


IndexEvent = FrameArrived | Tick | Reconnected | Disconnected
IndexAction = Request | IndexArrived | GivenUp


@dataclass(frozen=True)
class IndexTransfer:
    """Where the fetching of one index stands."""

    device: str
    artifact: Digest
    index: Digest
    size: int
    max_frame_bytes: int
    pace: Pace
    epoch: int
    """Epoch of the last request."""
    connected: bool = False
    pieces: tuple[bytes, ...] = ()
    have: int = 0
    asked_at: float = -1.0
    """When the last request was sent; below 0 none is under way."""
    asked_from: int = 0
    arrived_at: float = 0.0
    wrong: int = 0
    received: int = 0
    """Stored bytes that came."""
    resent: int = 0
    finished: bool = False


def begin(
    device: str,
    artifact: Digest,
    index: Digest,
    size: int,
    *,
    epoch: int = 0,
    max_frame_bytes: int,
    settings: PaceSettings,
) -> IndexTransfer:
    """Prepare to fetch an index of `size` bytes; nothing is asked for before `Reconnected`."""
    return IndexTransfer(device, artifact, index, size, max_frame_bytes, Pace.begin(settings), epoch)


def step(held: IndexTransfer, event: IndexEvent, now: float) -> tuple[IndexTransfer, tuple[IndexAction, ...]]:
    """Decide what follows from what happened; `now` in seconds of a clock that does not go back."""
    if held.finished:
        return held, ()
    if isinstance(event, FrameArrived):
        return _frame(held, event.payload, now)
    if isinstance(event, Disconnected):
        return replace(held, connected=False, asked_at=-1.0), ()
    if isinstance(event, Reconnected):
        return _ask(replace(held, connected=True), now)
    return _tick(held, now)


def _tick(held: IndexTransfer, now: float) -> tuple[IndexTransfer, tuple[IndexAction, ...]]:
    if not held.connected or now < held.pace.paused_until:
        return held, ()
    if held.asked_at < 0:
        return _ask(held, now)
    if held.have > held.asked_from and now - held.arrived_at >= max(QUIET_SECONDS, held.pace.smoothed):
        return _ask(held, now)
    if now - max(held.asked_at, held.arrived_at) >= held.pace.timeout:
        return _ask(replace(held, pace=held.pace.lost(held.epoch + 1)), now)
    return held, ()


def _ask(held: IndexTransfer, now: float) -> tuple[IndexTransfer, tuple[IndexAction, ...]]:
    request = ChunkRequest(
        device=held.device,
        artifact=held.artifact,
        epoch=held.epoch + 1,
        index_from=held.have,
        max_frame_bytes=held.max_frame_bytes,
    )
    return replace(held, epoch=held.epoch + 1, asked_at=now, asked_from=held.have), (Request(request),)


def _frame(held: IndexTransfer, payload: bytes, now: float) -> tuple[IndexTransfer, tuple[IndexAction, ...]]:
    try:
        frame = decode_frame(payload)
    except IntegrityError:
        return held, ()
    if not frame.belongs_to(held.artifact):
        return held, ()
    if frame.kind is FrameKind.REFUSAL:
        pace, given_up = held.pace.refused(frame, now)
        held = replace(held, pace=pace, asked_at=-1.0, finished=given_up is not None)
        return held, (given_up,) if given_up else ()
    if frame.kind is not FrameKind.INDEX:
        return held, ()
    held = _take(held, frame, now)
    return _judge(held, now) if held.have == held.size else (held, ())


def _take(held: IndexTransfer, frame: Frame, now: float) -> IndexTransfer:
    pieces, have, received, resent = list(held.pieces), held.have, held.received, held.resent
    for piece in frame.pieces:
        received += len(piece.data)
        if piece.offset == have and piece.total == held.size:
            pieces.append(bytes(piece.data))
            have += len(piece.data)
        else:
            resent += len(piece.data)
    pace = held.pace
    if have > held.have:
        pace = pace.progressed()
        if frame.epoch == held.epoch and held.have == held.asked_from and held.asked_at >= 0:
            pace = pace.answered(now - held.asked_at)
    return replace(
        held, pieces=tuple(pieces), have=have, received=received, resent=resent, pace=pace, arrived_at=now
    )


def _judge(held: IndexTransfer, now: float) -> tuple[IndexTransfer, tuple[IndexAction, ...]]:
    data = b"".join(held.pieces)
    if digest_of(data) == held.index:
        return replace(held, finished=True, pieces=()), (IndexArrived(data),)
    held = replace(held, pieces=(), have=0, wrong=held.wrong + 1)
    if held.wrong < MAX_WRONG:
        return _ask(held, now)
    why = f"the index came {MAX_WRONG} times and was never the one that the manifest names"
    return replace(held, finished=True), (GivenUp("index-damaged", why),)
