"""A transfer that is held to a rate asks for no more than it, to the end, and asks again within it too."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.protocol import transfer
from toolkit.protocol.bitmap import Bitmap
from toolkit.protocol.buckets import Rate
from toolkit.protocol.exchange import (
    ChunksStored,
    Commit,
    Committed,
    Finished,
    FrameArrived,
    Reconnected,
    Request,
    Store,
    Tick,
)
from toolkit.protocol.pace import PaceSettings
from toolkit.wire.digest import digest_of
from toolkit.wire.frame import FrameKind, Piece, encode_pieces
from toolkit.wire.index import ChunkRef

ARTIFACT = digest_of(b"artifact")
TICK = 0.05


def fetch(sizes: list[int], rate: Rate, lost: frozenset[int] = frozenset()) -> list[tuple[float, int]]:
    """Fetch chunks of these sizes over a link that answers at once; give what was asked for, and when.

    Args:
        sizes: of the chunks, in bytes.
        rate: that the transfer is held to.
        lost: requests, counted from 0, that nobody answers.
    """
    chunks = tuple(ChunkRef(digest_of(str(number).encode()), size) for number, size in enumerate(sizes))
    held, _ = transfer.begin(
        "d", ARTIFACT, chunks, Bitmap.empty(len(chunks)), max_frame_bytes=100_000, settings=PaceSettings()
    )
    now, asked, requests = 0.0, list[tuple[float, int]](), 0
    held = transfer.limited(held, rate, now)
    events: list[transfer.TransferEvent] = [Reconnected()]
    while now < 10_000:
        while events:
            held, actions = transfer.step(held, events.pop(0), now)
            for action in actions:
                if isinstance(action, Finished):
                    return asked
                if isinstance(action, Request):
                    numbers = [
                        n for run in action.request.runs for n in range(run.first, run.first + run.length)
                    ]
                    asked.append((now, sum(sizes[number] for number in numbers)))
                    requests += 1
                    if requests - 1 in lost:
                        continue
                    pieces = [Piece(number, 0, 1, b"x") for number in numbers]
                    frame = encode_pieces(FrameKind.CHUNKS, ARTIFACT, action.request.epoch, pieces)
                    events.append(FrameArrived(frame))
                elif isinstance(action, Store):
                    events.append(ChunksStored((action.number,)))
                elif isinstance(action, Commit):
                    events.append(Committed(action.numbers))
        now += TICK
        events.append(Tick())
    raise AssertionError(f"it did not end; asked for {len(asked)} times")


SIZES = st.lists(st.integers(1, 256 * 1024), min_size=1, max_size=60)


@given(SIZES, st.integers(20_000, 2_000_000), st.frozensets(st.integers(0, 5), max_size=3))
@settings(max_examples=50, deadline=None)
def test_in_no_stretch_of_time_more_is_asked_for_than_the_rate_allows(sizes, per_second, lost) -> None:
    burst = 64 * 1024
    asked = fetch(sizes, Rate(per_second, burst), lost)
    assert sum(size for _, size in asked) >= sum(sizes)
    for first, (start, _) in enumerate(asked):
        total = 0
        for at, size in asked[first:]:
            total += size
            # One chunk may be larger than what is left; its debt is waited for afterwards.
            assert total <= burst + per_second * (at - start) + max(sizes) + 1


def test_the_rate_is_used_up() -> None:
    asked = fetch([16 * 1024] * 200, Rate(1_000_000, 1_000_000))
    assert asked[-1][0] <= 200 * 16 * 1024 / 1_000_000 + 1


def test_without_a_limit_nothing_waits() -> None:
    assert {at for at, _ in fetch([16 * 1024] * 200, Rate())} == {0.0}
