"""The chunk transfer against a simulated link and depot: it completes, keeps to its window and never asks in vain."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import IntegrityError
from toolkit.protocol import transfer
from toolkit.protocol.bitmap import Bitmap
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
from toolkit.protocol.pace import PaceSettings
from toolkit.wire.chunk import open_chunk, store_chunk
from toolkit.wire.digest import digest_of
from toolkit.wire.frame import FrameKind, Piece, Refusal, encode_pieces, encode_refusal
from toolkit.wire.index import ChunkRef
from toolkit.wire.request import ChunkRequest, decode_request, encode_request

KIB = 1024
ARTIFACT = digest_of(b"artifact")
FRAME = 8 * KIB


def material(count: int, seed: int = 1, largest: int = 3 * KIB) -> tuple[list[bytes], tuple[ChunkRef, ...]]:
    source = random.Random(seed)
    data = [source.randbytes(source.randint(1, largest)) for _ in range(count)]
    return data, tuple(ChunkRef(digest_of(each), len(each)) for each in data)


def frames_for(request: ChunkRequest, data: list[bytes], *, frame: int = FRAME) -> list[bytes]:
    """Answer as a depot does: frames of at most `frame` bytes, large chunks in pieces."""
    frames, pieces, size = [], list[Piece](), 20
    for run in request.runs:
        for number in range(run.first, run.first + run.length):
            stored = store_chunk(data[number])
            for offset in range(0, len(stored), frame - 36):
                part = stored[offset : offset + frame - 36]
                if size + 16 + len(part) > frame:
                    frames.append(encode_pieces(FrameKind.CHUNKS, request.artifact, request.epoch, pieces))
                    pieces, size = [], 20
                pieces.append(Piece(number, offset, len(stored), part))
                size += 16 + len(part)
    frames.append(encode_pieces(FrameKind.CHUNKS, request.artifact, request.epoch, pieces))
    return frames


@dataclass(order=True)
class Due:
    at: float
    number: int
    do: Callable[[], None] = field(compare=False)


class World:
    """A device, a link and a depot in one thread, with a clock of their own."""

    def __init__(
        self,
        data: list[bytes],
        chunks: tuple[ChunkRef, ...],
        *,
        have: Bitmap | None = None,
        delay: float = 0.05,
        tamper: Callable[[bytes], list[bytes]] = lambda frame: [frame],
        answer: Callable[[ChunkRequest], list[bytes]] | None = None,
        pace: PaceSettings | None = None,
        frame: int = FRAME,
    ) -> None:
        self.data, self.chunks, self.delay, self.tamper = data, chunks, delay, tamper
        self.answer = answer or (lambda request: frames_for(request, data, frame=frame))
        self.now, self.queue, self.serial = 0.0, list[Due](), 0
        self.disk: dict[int, bytes] = {}
        self.asked: list[list[int]] = []
        self.ended: Finished | GivenUp | None = None
        self.most_in_window = 0
        self.write, self.sync, self.disk_free_at = 0.001, 0.005, 0.0
        self.most_at_risk = 0
        self.pace = pace or PaceSettings()
        self.begin(have or Bitmap.empty(len(chunks)))

    def begin(self, have: Bitmap) -> None:
        self.held, actions = transfer.begin(
            "d", ARTIFACT, self.chunks, have, epoch=7, max_frame_bytes=FRAME, settings=self.pace
        )
        self.act(actions)
        self.tell(Reconnected())

    def later(self, delay: float, do: Callable[[], None]) -> None:
        self.serial += 1
        heapq.heappush(self.queue, Due(self.now + delay, self.serial, do))

    def tell(self, event: transfer.TransferEvent) -> None:
        before = self.held.have
        self.held, actions = transfer.step(self.held, event, self.now)
        self.most_in_window = max(self.most_in_window, self.held.in_window)
        assert self.held.in_window >= 0
        self.most_at_risk = max(self.most_at_risk, self.at_risk())
        for action in actions:
            if isinstance(action, Request):
                numbers = [run.first + each for run in action.request.runs for each in range(run.length)]
                assert not [number for number in numbers if number in before], "it asks for what it has"
        self.act(actions)

    def act(self, actions: tuple[transfer.TransferAction, ...]) -> None:
        for action in actions:
            if isinstance(action, Request):
                request = decode_request(encode_request(action.request))
                self.asked.append([run.first + each for run in request.runs for each in range(run.length)])
                for number, frame in enumerate(self.answer(request)):
                    for copy in self.tamper(frame):
                        self.later(
                            self.delay + number * 1e-4, lambda copy=copy: self.tell(FrameArrived(copy))
                        )
            elif isinstance(action, Store):
                self.on_disk(self.write, lambda action=action: self.store(action))
            elif isinstance(action, Commit):
                self.on_disk(self.sync, lambda action=action: self.tell(Committed(action.numbers)))
            else:
                self.ended = action

    def on_disk(self, seconds: float, do: Callable[[], None]) -> None:
        """Do it after all that the disk has to do already, as the disk's thread does."""
        self.disk_free_at = max(self.disk_free_at, self.now) + seconds
        self.later(self.disk_free_at - self.now, do)

    def at_risk(self) -> int:
        """Give the bytes that would have to come again if the device fell over now."""
        held = self.held
        numbers = {*held.outstanding, *held.storing, *held.stored, *held.committing}
        return sum(self.chunks[number].size for number in numbers)

    def store(self, action: Store) -> None:
        reference = self.chunks[action.number]
        try:
            self.disk[action.number] = open_chunk(action.stored, reference.digest, reference.size)
        except IntegrityError:
            self.tell(ChunkBad(action.number))
        else:
            self.tell(ChunkStored(action.number))

    def run(self, until: float = 600.0, *, stop: Callable[[], bool] = lambda: False) -> World:
        while self.ended is None and self.now < until and not stop():
            next_tick = self.now + 0.1
            if self.queue and self.queue[0].at <= next_tick:
                due = heapq.heappop(self.queue)
                self.now = max(self.now, due.at)
                due.do()
            else:
                self.now = next_tick
                self.tell(Tick())
        return self

    def crash(self) -> None:
        """Lose everything but the bitmap."""
        have = self.held.have
        self.queue.clear()
        self.begin(have)

    @property
    def complete(self) -> bool:
        return self.ended == Finished() and [self.disk[n] for n in range(len(self.data))] == self.data


def test_a_clean_link_brings_every_chunk_once() -> None:
    data, chunks = material(500)
    world = World(data, chunks).run()
    assert world.complete
    assert sorted(number for numbers in world.asked for number in numbers) == list(range(500))
    assert world.held.counters.resent == 0
    assert world.held.counters.received == sum(len(store_chunk(each)) for each in data)


def test_what_is_here_is_not_asked_for_and_nothing_is_asked_when_all_is_here() -> None:
    data, chunks = material(64)
    have = Bitmap.empty(64).with_set(range(0, 64, 2))
    world = World(data, chunks, have=have).run()
    assert world.ended == Finished()
    assert {number for numbers in world.asked for number in numbers} == set(range(1, 64, 2))
    idle = World(data, chunks, have=Bitmap.empty(64).with_set(range(64)))
    assert idle.ended == Finished()
    assert not idle.asked


def test_chunks_larger_than_a_frame_come_in_pieces() -> None:
    data, chunks = material(20, largest=60 * KIB)
    world = World(data, chunks).run()
    assert world.complete
    assert world.held.counters.resent == 0


def test_the_window_bounds_what_is_under_way_and_grows_by_clean_round_trips() -> None:
    data, chunks = material(3000)
    settings = PaceSettings(start_window=32 * KIB, max_window=256 * KIB, min_window=8 * KIB)
    world = World(data, chunks, pace=settings, delay=0.2).run()
    assert world.complete
    assert world.held.pace.window == 256 * KIB
    assert 128 * KIB < world.most_in_window <= 256 * KIB
    # 4.6 MB in windows of 32, 64, 128, 256, 256 ... KiB a round trip.
    assert world.now < 0.2 * 40


@pytest.mark.parametrize(("write", "sync"), [(0.001, 0.001), (0.004, 0.5), (0.02, 0.02)])
def test_a_crash_can_never_cost_more_than_the_window_and_a_batch_however_slow_the_disk_is(
    write: float, sync: float
) -> None:
    data, chunks = material(900, largest=30 * KIB)
    settings = PaceSettings(start_window=256 * KIB, max_window=1024 * KIB)
    world = World(data, chunks, pace=settings, delay=0.01)
    world.write, world.sync = write, sync
    assert world.run().complete
    assert 1024 * KIB < world.most_at_risk <= 1024 * KIB + transfer.COMMIT_BYTES


def test_what_nobody_asked_for_is_taken_only_as_far_as_the_window_goes() -> None:
    """The broker is not trusted: chunks that it pours in must not fill the memory while the disk is slow."""
    data, chunks = material(300, largest=30 * KIB)
    pushed = [
        encode_pieces(FrameKind.CHUNKS, ARTIFACT, 1, [Piece(number, 0, len(stored), stored)])
        for number, stored in ((number, store_chunk(each)) for number, each in enumerate(data))
    ]
    settings = PaceSettings(start_window=64 * KIB, max_window=256 * KIB)
    world = World(data, chunks, pace=settings, answer=lambda _: [])
    world.write = 1.0
    for frame in pushed:
        world.tell(FrameArrived(frame))
    assert 200 * KIB < world.most_in_window <= 256 * KIB
    world.answer = lambda request: frames_for(request, data)
    assert world.run().complete


def test_silence_halves_the_window_and_asks_again_with_growing_pauses() -> None:
    data, chunks = material(200)
    world = World(data, chunks, answer=lambda _: [], pace=PaceSettings(start_window=256 * KIB))
    times: list[float] = []
    world.run(until=40.0, stop=lambda: len(times) < len(world.asked) and bool(times.append(world.now)))
    assert [round(each) for each in times] == [0, 3, 9, 21]
    assert world.held.pace.window == 64 * KIB
    world.answer = lambda request: frames_for(request, data)
    assert world.run().complete


@pytest.mark.parametrize("seed", range(3))
def test_lost_doubled_and_shuffled_frames_cost_time_only(seed: int) -> None:
    source = random.Random(seed)

    def tamper(frame: bytes) -> list[bytes]:
        return [frame] * source.choice([0, 1, 1, 1, 1, 1, 1, 1, 2])

    data, chunks = material(400, seed)
    world = World(data, chunks, tamper=tamper)
    world.delay = 0.05
    assert world.run().complete
    assert world.held.counters.resent > 0, "the doubled frames are counted"


def test_a_lost_frame_is_asked_for_while_others_still_come() -> None:
    """Not only at the end: a request that later ones overtake counts as lost."""
    data, chunks = material(2000)
    first = []

    def answer(request: ChunkRequest) -> list[bytes]:
        frames = frames_for(request, data)
        if not first:
            first.append(request.epoch)
            return frames[1:]
        return frames

    world = World(
        data, chunks, answer=answer, delay=0.5, pace=PaceSettings(start_window=64 * KIB, max_window=64 * KIB)
    )
    lost = {number for numbers in world.asked[:1] for number in numbers}
    world.run()
    assert world.complete
    again = [position for position, numbers in enumerate(world.asked) if position and lost & set(numbers)]
    assert again
    assert again[0] < len(world.asked) - 3


def test_a_damaged_chunk_is_counted_and_asked_for_again_at_once() -> None:
    data, chunks = material(40)
    bad = [3]

    def answer(request: ChunkRequest) -> list[bytes]:
        wrong = list(data)
        for number in bad:
            wrong[number] = bytes(len(data[number]))
        bad.clear()
        return frames_for(request, wrong)

    world = World(data, chunks, answer=answer).run()
    assert world.complete
    assert world.held.counters.bad == 1
    assert world.asked[1] == [3]
    assert world.now < 1.0, "it did not wait for a time-out"


def test_a_chunk_that_is_always_damaged_ends_the_transfer_with_its_name() -> None:
    data, chunks = material(40)
    wrong = [*data[:5], bytes(len(data[5])), *data[6:]]
    world = World(data, chunks, answer=lambda request: frames_for(request, wrong)).run()
    assert isinstance(world.ended, GivenUp)
    assert world.ended.code == "chunk-damaged"
    assert chunks[5].digest[:12] in world.ended.reason
    assert world.held.counters.bad == 3


def test_a_chunk_that_claims_to_be_larger_than_its_index_says_is_never_put_together() -> None:
    data, chunks = material(4)
    huge = encode_pieces(FrameKind.CHUNKS, ARTIFACT, 8, [Piece(0, 0, chunks[0].size + 2, b"x")])
    world = World(data, chunks, answer=lambda _: [huge]).run(until=2.0)
    assert isinstance(world.ended, GivenUp)
    assert not world.disk


@pytest.mark.parametrize(
    "junk", [b"", b"TF", b"junk" * 100, b"TF\x01\x01" + bytes(16), b"TF\x02\x01" + bytes(16)]
)
def test_junk_on_the_data_topic_changes_nothing(junk: bytes) -> None:
    data, chunks = material(100)
    world = World(data, chunks, tamper=lambda frame: [junk, frame]).run()
    assert world.complete


def test_frames_of_another_artifact_and_numbers_out_of_range_are_passed_over() -> None:
    data, chunks = material(10)
    other = encode_pieces(FrameKind.CHUNKS, digest_of(b"other"), 8, [Piece(0, 0, 1, b"x")])
    beyond = encode_pieces(FrameKind.CHUNKS, ARTIFACT, 8, [Piece(10, 0, 1, b"x")])
    world = World(data, chunks, tamper=lambda frame: [other, beyond, frame]).run()
    assert world.complete
    assert world.held.counters.bad == 0


def refuse_first(times: int, refusal: Refusal, data: list[bytes], retry_ms: int = 0):
    left = [times]

    def answer(request: ChunkRequest) -> list[bytes]:
        if left[0]:
            left[0] -= 1
            return [encode_refusal(ARTIFACT, request.epoch, refusal, retry_after_ms=retry_ms, text="why")]
        return frames_for(request, data)

    return answer


def test_a_busy_depot_is_asked_again_when_it_said() -> None:
    data, chunks = material(50)
    world = World(data, chunks, answer=refuse_first(30, Refusal.BUSY, data, retry_ms=500)).run()
    assert world.complete
    assert 30 * 0.5 < world.now < 30 * 0.8


@pytest.mark.parametrize(
    ("refusal", "code", "most"),
    [(Refusal.UNKNOWN_ARTIFACT, "unknown-artifact", 10), (Refusal.DAMAGED, "depot-damaged", 5)],
)
def test_a_refusal_is_waited_out_for_a_while_and_then_ends_the_transfer(
    refusal: Refusal, code: str, most: int
) -> None:
    data, chunks = material(50)
    assert World(data, chunks, answer=refuse_first(most - 1, refusal, data)).run(until=900).complete
    ended = World(data, chunks, answer=refuse_first(most, refusal, data)).run(until=900).ended
    assert isinstance(ended, GivenUp)
    assert ended.code == code


def test_a_depot_that_does_not_understand_us_ends_the_transfer_at_once() -> None:
    data, chunks = material(5)
    ended = World(data, chunks, answer=refuse_first(1, Refusal.BAD_REQUEST, data)).run().ended
    assert isinstance(ended, GivenUp)
    assert (ended.code, "why" in ended.reason) == ("bad-request", True)


def test_after_a_broken_connection_only_what_is_missing_is_asked_for() -> None:
    data, chunks = material(800)
    world = World(data, chunks, pace=PaceSettings(start_window=64 * KIB, max_window=64 * KIB))
    world.run(stop=lambda: len(world.disk) > 200)
    world.tell(Disconnected())
    asked = len(world.asked)
    world.queue = [due for due in world.queue if due.at < world.now + 0.01]  # what was on the link is gone
    world.run(until=world.now + 10)
    assert len(world.asked) == asked, "nothing is asked for without a link"
    stored = set(world.disk)
    world.tell(Reconnected())
    world.run()
    assert world.complete
    assert not stored & {number for numbers in world.asked[asked:] for number in numbers}


@given(st.integers(0, 10_000), st.lists(st.integers(1, 400), max_size=4))
@settings(max_examples=40, deadline=None)
def test_a_crash_at_any_point_never_brings_a_committed_chunk_again(seed: int, crashes: list[int]) -> None:
    source = random.Random(seed)
    data, chunks = material(150, seed)
    small = PaceSettings(start_window=16 * KIB, max_window=64 * KIB, min_window=4 * KIB)
    world = World(data, chunks, pace=small, tamper=lambda frame: [frame] * source.choice([0, 1, 1, 1, 1, 2]))
    for steps in crashes:
        left = [steps]

        def used_up(left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] < 0

        world.run(stop=used_up)
        if world.ended is None:
            world.crash()  # `tell` asserts that nothing of the bitmap is asked for
    assert world.run().complete


def test_a_thousand_chunks_pass_through_the_machine_quickly_enough_to_be_no_limit() -> None:
    """Counts work, not time: the maps that are copied at each step stay as small as the window."""
    data, chunks = material(2000)
    world = World(data, chunks, pace=PaceSettings(start_window=64 * KIB, max_window=64 * KIB))
    largest = [0]

    def watch() -> bool:
        largest[0] = max(
            largest[0], len(world.held.outstanding), len(world.held.again), len(world.held.stored)
        )
        return False

    world.run(stop=watch)
    assert world.complete
    assert largest[0] < 64 * 8


def asked_for_all(size: int, count: int) -> tuple[transfer.Transfer, list[bytes], ChunkRequest]:
    """Begin a transfer whose first request asks for everything."""
    data = [random.Random(number).randbytes(size) for number in range(count)]
    chunks = tuple(ChunkRef(digest_of(each), len(each)) for each in data)
    settings = PaceSettings(start_window=8 * KIB * KIB)
    held, _ = transfer.begin(
        "d", ARTIFACT, chunks, Bitmap.empty(count), max_frame_bytes=FRAME, settings=settings
    )
    held, (request,) = transfer.step(held, Reconnected(), 0.0)
    assert isinstance(request, Request)
    return held, data, request.request


def test_chunks_of_a_frame_that_are_stored_together_count_as_one_by_one() -> None:
    start, data, request = asked_for_all(KIB, 64)
    frames = frames_for(request, data)
    ends = []
    for together in (True, False):
        held, seen = start, list[transfer.TransferAction]()
        for frame in frames * 2:  # each comes twice
            held, actions = transfer.step(held, FrameArrived(frame), 1.0)
            numbers = tuple(action.number for action in actions if isinstance(action, Store))
            seen += actions
            events = [ChunksStored(numbers)] if together else [ChunkStored(number) for number in numbers]
            for event in events:
                held, actions = transfer.step(held, event, 1.0)
                seen += actions
        ends.append((held, seen))
    assert ends[0] == ends[1]
    assert ends[0][0].counters.resent == ends[0][0].counters.received // 2 > 0
    assert ends[0][1][-1] == Commit(tuple(range(64)))


def test_a_chunk_that_stands_twice_in_a_frame_is_stored_once() -> None:
    held, data, _ = asked_for_all(KIB, 4)
    stored = store_chunk(data[2])
    frame = encode_pieces(FrameKind.CHUNKS, ARTIFACT, 1, [Piece(2, 0, len(stored), stored)] * 3)
    held, actions = transfer.step(held, FrameArrived(frame), 1.0)
    assert actions == (Store(2, stored),)
    assert (held.counters.received, held.counters.resent) == (3 * len(stored), 2 * len(stored))
    assert sorted(held.outstanding) == [0, 1, 3]


def test_a_slow_disk_gets_one_batch_at_a_time_and_then_a_larger_one() -> None:
    held, data, request = asked_for_all(100 * KIB, 60)
    commits: list[Commit] = []
    for frame in frames_for(request, data, frame=256 * KIB)[:-1]:
        held, actions = transfer.step(held, FrameArrived(frame), 1.0)
        numbers = tuple(action.number for action in actions if isinstance(action, Store))
        held, actions = transfer.step(held, ChunksStored(numbers), 1.0)
        commits += [action for action in actions if isinstance(action, Commit)]
    assert [len(commit.numbers) for commit in commits] == [12], "the second waits for the first"
    held, actions = transfer.step(held, Committed(commits[0].numbers), 1.0)
    (second,) = [action for action in actions if isinstance(action, Commit)]
    assert second.numbers == tuple(range(12, 58))
    assert not held.stored
