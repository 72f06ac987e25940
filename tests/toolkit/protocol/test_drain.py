"""What draining does next, step by step; whole crossings with faults are in tests/edge_runtime/outbox."""

from __future__ import annotations

import pytest

from toolkit.protocol.drain import (
    FIRST_PATIENCE,
    LONGEST_PATIENCE,
    WINDOW,
    WINDOW_BYTES,
    Ask,
    BeginEpoch,
    Delete,
    Drain,
    Read,
)
from toolkit.wire.records import Code, Marks, RecordsAnswer

LAST = 1_000_000


def answer(
    drain: Drain, stored: Marks, code: Code = "", *, round_: int = 0, retry_ms: int = 0
) -> RecordsAnswer:
    return RecordsAnswer(
        epoch="0" * 16, round=round_ or drain.round, stored=stored, code=code, retry_ms=retry_ms, message=code
    )


@pytest.fixture
def drain() -> Drain:
    """A drain that has a connection and knows that nothing is stored; its first read is under way."""
    drain = Drain()
    assert drain.began(0.0) == [Ask(1)]
    assert drain.answered(answer(drain, (0, 0, 0)), LAST, 0.0) == [Delete((0, 0, 0)), Read(1, (0, 0, 0))]
    return drain


def fill_window(drain: Drain, seq: int = 0, size: int = 1) -> int:
    """Send batches of ten until no more is read; give the last seq."""
    while True:
        seq += 10
        assert drain.read_done(drain.round, 3, seq, size, 0.0)
        if not drain.more():
            return seq


def test_the_window_grows_with_answers_and_ends(drain: Drain) -> None:
    seqs = [fill_window(drain)]
    while len(seqs) < 7:
        drain.answered(answer(drain, (0, 0, seqs[-1])), LAST, 0.0)
        seqs.append(fill_window(drain, seqs[-1]))
    sizes = [(new - old) // 10 for old, new in zip([0, *seqs], seqs, strict=False)]
    assert sizes == [1, 2, 4, 8, WINDOW, WINDOW, WINDOW]


def test_large_batches_fill_the_window_by_their_bytes(drain: Drain) -> None:
    seq = fill_window(drain)
    for _ in range(5):
        drain.answered(answer(drain, (0, 0, seq)), LAST, 0.0)
        before = seq
        seq = fill_window(drain, seq, WINDOW_BYTES // 2)
    assert (seq - before) // 10 == 2


def test_what_is_put_down_during_a_read_that_finds_nothing_is_read(drain: Drain) -> None:
    assert drain.filled() == [], "a read is under way"
    assert not drain.read_done(drain.round, 0, 0, 0, 0.0)
    assert drain.more() == [Read(1, (0, 0, 0))]
    assert not drain.read_done(drain.round, 0, 0, 0, 0.0)
    assert drain.more() == []
    assert drain.tick(1000.0) == [], "nothing is on its way: there is nothing to be impatient about"
    assert drain.filled() == [Read(1, (0, 0, 0))]


def test_a_lost_batch_is_read_again_once_however_many_come_too_early(drain: Drain) -> None:
    seq = fill_window(drain)
    for _ in range(3):
        drain.answered(answer(drain, (0, 0, seq)), LAST, 0.0)
        before, seq = seq, fill_window(drain, seq)
    old = drain.round
    assert drain.answered(answer(drain, (0, 0, before), "gap"), LAST, 0.0) == [Read(old + 1, (0, 0, before))]
    for _ in range(7):
        assert drain.answered(answer(drain, (0, 0, before), "gap", round_=old), LAST, 0.0) == []
    assert not drain.read_done(old, 3, seq, 1, 0.0), "what was read for the old round is not sent"
    assert drain.read_done(old + 1, 3, before + 10, 1, 0.0)


def test_an_old_answer_still_says_what_is_stored(drain: Drain) -> None:
    seq = fill_window(drain)
    old = drain.round
    drain.ended()
    drain.began(1.0)
    assert drain.answered(answer(drain, (0, 0, seq), round_=old), LAST, 1.0) == [Delete((0, 0, seq))]
    assert not drain.known, "but not that the receiver is there"


def test_silence_is_waited_for_longer_each_time() -> None:
    drain, now, asked = Drain(), 0.0, []
    drain.began(now)
    while len(asked) < 10:
        now += 0.5
        if drain.tick(now):
            asked.append(now)
    pauses = [new - old for old, new in zip([0.0, *asked], asked, strict=False)]
    assert FIRST_PATIENCE <= pauses[0] <= 1.5 * FIRST_PATIENCE + 0.5
    assert all(LONGEST_PATIENCE <= pause <= 1.5 * LONGEST_PATIENCE + 0.5 for pause in pauses[5:])


def test_a_receiver_that_is_busy_is_left_alone(drain: Drain) -> None:
    fill_window(drain)
    assert drain.answered(answer(drain, (0, 0, 0), "busy", retry_ms=30_000), LAST, 0.0) == []
    assert drain.problem == "busy"
    assert drain.filled() == []
    assert drain.tick(29.0) == []
    assert drain.tick(46.0) == [Ask(2)]
    drain.answered(answer(drain, (0, 0, 0)), LAST, 46.0)
    assert drain.problem == ""


def test_a_receiver_that_knows_less_counts(drain: Drain) -> None:
    seq = fill_window(drain)
    drain.answered(answer(drain, (0, 0, seq)), LAST, 0.0)
    drain.ended()
    drain.began(1.0)
    assert drain.answered(answer(drain, (0, 0, 0)), LAST, 1.0)[-1] == Read(2, (0, 0, 0))


def test_a_receiver_that_knows_more_than_was_written_makes_an_epoch_begin(drain: Drain) -> None:
    assert drain.answered(answer(drain, (0, 0, LAST + 1)), LAST, 0.0) == [BeginEpoch()]
    assert drain.stored == (0, 0, 0)
