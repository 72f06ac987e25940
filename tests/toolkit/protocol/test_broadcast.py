"""The audience of a depot: who is held, what is streamed, and what is served alone."""

from __future__ import annotations

import pytest

from toolkit.protocol import broadcast
from toolkit.protocol.broadcast import (
    GATHER_SECONDS,
    STALE_SECONDS,
    Audience,
    Batch,
    ask,
    due,
    next_batch,
    sent,
)
from toolkit.protocol.buckets import Rate
from toolkit.wire.digest import digest_of
from toolkit.wire.request import ChunkRequest, Run

ART, OTHER = digest_of(b"artifact"), digest_of(b"other")
SIZES = {ART: (100_000,) * 100, OTHER: (100_000,) * 100}
ALL = (Run(0, 100),)


def wish(
    device: str, *runs: Run, lacks: tuple[Run, ...] = ALL, artifact: str = ART, **more: object
) -> ChunkRequest:
    fields = {"listens": True, "lacks": lacks, **more}
    return ChunkRequest(device=device, artifact=artifact, epoch=1, runs=runs or (Run(0, 5),), **fields)


def begin(rate: float = 0.0) -> Audience:
    return broadcast.begin(Rate(rate, 1), 0.0)


def gathered(*requests: ChunkRequest, now: float = 0.0) -> tuple[Audience, list[ChunkRequest]]:
    held, alone = begin(), []
    for request in requests:
        held, more = ask(held, request, now)
        alone += more
    return held, alone


def streaming() -> Audience:
    held, alone = gathered(wish("a"), wish("b"), wish("c"))
    assert alone == []
    held, alone = due(held, GATHER_SECONDS)
    assert alone == ()
    return held


def numbers(request: ChunkRequest) -> list[int]:
    return [number for run in request.runs for number in range(run.first, run.first + run.length)]


def test_who_does_not_listen_is_served_at_once() -> None:
    held = streaming()
    plain = wish("d", listens=False, lacks=())
    index = ChunkRequest(device="d", artifact=ART, epoch=1, index_from=0, listens=True)
    assert ask(held, plain, 0.0) == (held, (plain,))
    assert ask(held, index, 0.0) == (held, (index,))


def test_two_are_held_for_a_moment_and_then_served_alone() -> None:
    first, second = wish("a"), wish("b")
    held, alone = gathered(first, second)
    assert alone == []
    assert broadcast.wait(held, 0.1) == pytest.approx(GATHER_SECONDS - 0.1)
    assert due(held, GATHER_SECONDS / 2) == (held, ())
    held, alone = due(held, GATHER_SECONDS)
    assert alone == (first, second)
    assert broadcast.wait(held, 1.0) is None


def test_three_get_each_chunk_once() -> None:
    held, seen = streaming(), []
    while (batch := next_batch(held, SIZES, 0.0)) is not None:
        seen += batch.numbers
        held = sent(held, batch, 100_000 * len(batch.numbers), 0.0)
    assert seen == list(range(100))
    assert (held.streams, held.listeners) == ({}, {})


def test_only_what_two_lack_is_streamed() -> None:
    held, alone = gathered(
        wish("a", Run(0, 5), lacks=(Run(0, 10),)),
        wish("b", Run(5, 5), lacks=(Run(5, 10),)),
        wish("c", Run(40, 2), lacks=(Run(40, 2), Run(14, 1))),
    )
    assert alone == []
    held, alone = due(held, GATHER_SECONDS)
    assert held.streams[ART].numbers == (*range(5, 10), 14)
    assert [(each.device, numbers(each)) for each in alone] == [("a", list(range(5))), ("c", [40, 41])]


def test_what_has_passed_by_is_pulled_and_what_comes_is_not() -> None:
    held = sent(streaming(), Batch(ART, tuple(range(30))), 1, 0.0)
    held, alone = ask(held, wish("d", Run(10, 40)), 0.0)
    assert [numbers(each) for each in alone] == [list(range(10, 30))]
    assert alone[0].device == "d"
    _, alone = ask(held, wish("d", Run(30, 10)), 0.0)
    assert alone == ()


def test_a_request_that_was_held_when_the_stream_begins_is_left_to_it() -> None:
    held, _ = gathered(wish("a"), wish("b"))
    held, _ = ask(held, wish("c"), GATHER_SECONDS - 0.1)
    held, alone = due(held, GATHER_SECONDS)
    assert (held.held, alone) == ((), ())
    assert due(held, 10.0) == (held, ())


def test_each_artifact_has_its_own_audience() -> None:
    held, _ = gathered(wish("a"), wish("b"), wish("c", artifact=OTHER))
    held, alone = due(held, GATHER_SECONDS)
    assert held.streams == {}
    assert len(alone) == 3


def test_one_device_that_asks_thrice_is_one() -> None:
    held, _ = gathered(wish("a"), wish("a", Run(5, 5)), wish("a", Run(10, 5)))
    assert due(held, GATHER_SECONDS)[0].streams == {}


def test_who_was_here_long_ago_does_not_count() -> None:
    held, _ = gathered(wish("a"), wish("b"))
    held, _ = ask(held, wish("c"), STALE_SECONDS + 1)
    assert due(held, STALE_SECONDS + 2)[0].streams == {}
    held, _ = ask(held, wish("a"), STALE_SECONDS + 1)
    held, _ = ask(held, wish("b"), STALE_SECONDS + 1)
    assert set(due(held, STALE_SECONDS + 2)[0].streams) == {ART}


def test_the_pace_is_kept_and_streams_take_turns() -> None:
    held = begin(rate=1_000_000)
    for artifact in (ART, OTHER):
        for device in ("a", "b", "c"):
            held, _ = ask(held, wish(device, artifact=artifact), 0.0)
    held, _ = due(held, 1.0)
    first = next_batch(held, SIZES, 1.0)
    assert first is not None
    assert len(first.numbers) == 5
    held = sent(held, first, 500_000, 1.0)
    assert next_batch(held, SIZES, 1.3) is None
    assert broadcast.wait(held, 1.3) == pytest.approx(0.2, abs=0.01)
    second = next_batch(held, SIZES, 1.6)
    assert second is not None
    assert {first.artifact, second.artifact} == {ART, OTHER}


def test_a_stream_that_cannot_be_read_ends_and_all_is_pulled() -> None:
    held = broadcast.drop(streaming(), ART)
    request = wish("a", Run(0, 5))
    held, alone = ask(held, wish("x", listens=False, lacks=()), 0.0)
    assert len(alone) == 1
    held, alone = ask(replace_listeners(held), request, 0.0)
    held, alone = due(held, GATHER_SECONDS)
    assert alone == (request,)


def replace_listeners(held: Audience) -> Audience:
    return Audience(held.pace)
