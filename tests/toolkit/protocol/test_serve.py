from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.protocol import exchange, transfer
from toolkit.protocol.bitmap import Bitmap
from toolkit.protocol.buckets import Bucket, Rate
from toolkit.protocol.exchange import (
    ChunkStored,
    Commit,
    Committed,
    FrameArrived,
    Reconnected,
    Request,
    Store,
)
from toolkit.protocol.pace import PaceSettings
from toolkit.protocol.serve import begin, step
from toolkit.protocol.supply import (
    DUPLICATE_SECONDS,
    MAX_PARKED,
    MAX_QUEUED_CHUNKS,
    UNKNOWN_SECONDS,
    Asked,
    Limits,
    Load,
    Loaded,
    LookUp,
    Offer,
    Offered,
    Refused,
    Send,
    Serving,
    Tick,
    Unknown,
    Unreadable,
    Wake,
)
from toolkit.wire.chunk import open_chunk, store_chunk
from toolkit.wire.digest import digest_of
from toolkit.wire.frame import Frame, FrameKind, Refusal, decode_frame
from toolkit.wire.index import ChunkRef
from toolkit.wire.request import ChunkRequest, Run, encode_request

MODEL = digest_of(b"model")
KIB = 1024


@dataclass
class Depot:
    """A driver without clock, disk or network: it reads from memory and keeps what was sent."""

    chunks: list[bytes]
    index: bytes = b"i" * 5000
    limits: Limits = field(default_factory=Limits)
    known: bool = True
    damaged: set[int] = field(default_factory=set)
    now: float = 0.0
    sent: list[tuple[float, str, bytes]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    looked_up: int = 0
    largest_load: int = 0

    def __post_init__(self) -> None:
        self.state: Serving = begin(self.limits, self.now)
        self.offer = Offer(MODEL, len(self.index), tuple(len(chunk) - 1 for chunk in self.chunks))

    def ask(self, device: str = "a", *, run: bool = True, **fields: object) -> None:
        request = ChunkRequest(**{"device": device, "artifact": MODEL, "epoch": 1, **fields})
        self.tell(Asked(device, encode_request(request)), run=run)

    def tell(self, event: object, *, run: bool = True) -> None:
        """Hand an event over and do what it brings about, also what must wait."""
        events = [event]
        while events:
            self.state, actions = step(self.state, events.pop(0), self.now)
            for action in actions:
                if isinstance(action, Send):
                    self.sent.append((self.now, action.device, action.payload))
                elif isinstance(action, Refused):
                    self.refused.append(action)
                elif isinstance(action, LookUp):
                    self.looked_up += 1
                    events.append(
                        Offered(self.offer) if self.known else Unknown(action.artifact, "no such model")
                    )
                elif isinstance(action, Load) and run:
                    events.append(self.load(action))
                elif isinstance(action, Wake) and run:
                    assert action.seconds > 0
                    self.now += action.seconds
                    events.append(Tick())

    def load(self, action: Load) -> Loaded | Unreadable:
        work = action.work
        if work.index_from is not None:
            return Loaded(work, (self.index[work.index_from : work.index_from + work.length],))
        self.largest_load = max(self.largest_load, sum(len(self.chunks[number]) for number in work.numbers))
        data: list[bytes] = []
        for number in work.numbers:
            if number in self.damaged:
                return Unreadable(work, f"pack p, chunk {number} is damaged", tuple(data))
            data.append(self.chunks[number])
        return Loaded(work, tuple(data))

    def frames(self, device: str = "a") -> list[Frame]:
        return [decode_frame(payload) for _, to, payload in self.sent if to == device]

    def got(self, device: str = "a") -> dict[int, bytes]:
        """Put the pieces together the way a device does."""
        return join(self.frames(device))


def join(frames: list[Frame]) -> dict[int, bytes]:
    parts: dict[tuple[int, int], dict[int, bytes]] = {}
    totals: dict[int, int] = {}
    for frame in frames:
        for piece in frame.pieces:
            parts.setdefault((frame.epoch, piece.number), {})[piece.offset] = bytes(piece.data)
            assert totals.setdefault(piece.number, piece.total) == piece.total
    joined: dict[int, bytes] = {}
    for (_, number), each in parts.items():
        data = b"".join(data for _, data in sorted(each.items()))
        assert joined.setdefault(number, data) == data
    assert {number: len(data) for number, data in joined.items()} == totals
    return joined


def chunk(number: int, size: int) -> bytes:
    return bytes([number % 251]) * size


def test_chunks_come_as_asked_in_full_frames() -> None:
    depot = Depot([chunk(number, 16 * KIB) for number in range(100)])
    depot.ask(runs=(Run(10, 60),), epoch=7)
    assert depot.got() == {number: depot.chunks[number] for number in range(10, 70)}
    frames = depot.frames()
    assert {frame.epoch for frame in frames} == {7}
    assert all(frame.belongs_to(MODEL) for frame in frames)
    assert len(frames) <= 60 * 16 / 256 * 1.2, "small chunks share a frame"
    assert depot.looked_up == 1
    assert depot.largest_load <= 4 * 256 * KIB


def test_the_index_comes_from_where_it_was_asked_for() -> None:
    depot = Depot([], index=bytes(range(256)) * 5000)
    depot.ask(index_from=1000)
    frames = depot.frames()
    assert {frame.kind for frame in frames} == {FrameKind.INDEX}
    assert b"".join(bytes(piece.data) for frame in frames for piece in frame.pieces) == depot.index[1000:]
    assert frames[0].pieces[0].offset == 1000
    assert {piece.total for frame in frames for piece in frame.pieces} == {len(depot.index)}


def test_a_chunk_larger_than_a_frame_comes_in_pieces() -> None:
    depot = Depot(
        [chunk(1, 100), chunk(2, 1000 * KIB), chunk(3, 100)], limits=Limits(max_frame_bytes=120 * KIB)
    )
    depot.ask(runs=(Run(0, 3),))
    assert depot.got() == dict(enumerate(depot.chunks))
    assert max(len(payload) for _, _, payload in depot.sent) <= 120 * KIB


def test_frames_are_no_larger_than_the_device_takes() -> None:
    depot = Depot([chunk(number, 8 * KIB) for number in range(9)])
    depot.ask(runs=(Run(0, 9),), max_frame_bytes=2 * KIB)
    assert max(len(payload) for _, _, payload in depot.sent) <= 2 * KIB
    assert depot.got() == dict(enumerate(depot.chunks))


def test_an_unknown_artifact_is_refused_and_not_looked_up_again_for_a_while() -> None:
    depot = Depot([], known=False)
    for epoch in range(50):
        depot.ask(index_from=0, epoch=epoch)
    assert depot.looked_up == 1
    frames = depot.frames()
    assert {frame.refusal for frame in frames} == {Refusal.UNKNOWN_ARTIFACT}
    assert frames[0].text == "no such model"
    assert 0 < frames[-1].retry_after_ms <= UNKNOWN_SECONDS * 1000 + 1
    depot.now += UNKNOWN_SECONDS
    depot.known = True
    depot.ask(index_from=0, epoch=99)
    assert depot.looked_up == 2
    assert join(depot.frames()[-1:])[0] == depot.index


def test_requests_wait_while_an_artifact_is_looked_up_and_their_number_is_bounded() -> None:
    state = begin(Limits(), 0.0)
    lookups = busy = 0
    for number in range(MAX_PARKED + 5):
        request = encode_request(ChunkRequest(device=f"d{number}", artifact=MODEL, epoch=1, index_from=0))
        state, actions = step(state, Asked(f"d{number}", request), 0.0)
        lookups += sum(isinstance(action, LookUp) for action in actions)
        busy += sum(isinstance(action, Refused) and action.refusal is Refusal.BUSY for action in actions)
    assert (lookups, busy, len(state.parked)) == (1, 5, MAX_PARKED)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"runs": (Run(0, 4),)}, "has 3 chunks"),
        ({"runs": (Run(3, 1),)}, "has 3 chunks"),
        ({"index_from": 5000}, "behind its end"),
        ({}, "either for the index or for chunks"),
        ({"index_from": 0, "runs": (Run(0, 1),)}, "either for the index or for chunks"),
        ({"runs": (Run(0, 1),), "max_frame_bytes": 100}, "too small"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, object], reason: str) -> None:
    depot = Depot([chunk(0, 10)] * 3)
    depot.ask(**fields)
    (frame,) = depot.frames()
    assert frame.refusal is Refusal.BAD_REQUEST
    assert reason in frame.text
    assert depot.state.queues == {}


def test_a_device_that_speaks_for_another_is_refused_on_its_own_topic() -> None:
    depot = Depot([chunk(0, 10)])
    request = encode_request(ChunkRequest(device="victim", artifact=MODEL, epoch=1, runs=(Run(0, 1),)))
    depot.tell(Asked("a", request))
    assert [to for _, to, _ in depot.sent] == ["a"]
    assert depot.frames()[0].refusal is Refusal.BAD_REQUEST


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_counted_and_nothing_is_sent(payload: bytes) -> None:
    depot = Depot([chunk(0, 10)])
    depot.tell(Asked("a", payload))
    assert depot.sent == []
    assert [refused.refusal for refused in depot.refused] == [None]


def test_a_duplicate_of_the_network_is_dropped_and_a_new_wish_is_served() -> None:
    depot = Depot([chunk(0, 10)])
    for _ in range(3):
        depot.ask(runs=(Run(0, 1),))
    assert len(depot.sent) == 1
    depot.ask(runs=(Run(0, 1),), epoch=2)
    assert len(depot.sent) == 2
    depot.now += DUPLICATE_SECONDS
    depot.ask(runs=(Run(0, 1),))
    assert len(depot.sent) == 3


def test_what_is_asked_for_again_while_it_waits_is_sent_once_under_the_newer_epoch() -> None:
    slow = Limits(per_device=Rate(100 * KIB, 1))
    depot = Depot([chunk(number, 200 * KIB) for number in range(20)], limits=slow)
    depot.ask(runs=(Run(0, 20),), run=False)
    first = depot.state.loading
    depot.ask(runs=(Run(5, 15),), epoch=2, run=False)
    depot.tell(depot.load(Load(first)))
    assert depot.got() == dict(enumerate(depot.chunks))
    assert sum(len(payload) for _, _, payload in depot.sent) < 1.1 * 20 * 200 * KIB
    by_epoch = {frame.epoch: {piece.number for piece in frame.pieces} for frame in depot.frames()}
    assert by_epoch.keys() == {1, 2}
    whole = [piece.number for frame in depot.frames() if frame.epoch == 2 for piece in frame.pieces]
    assert set(whole) == set(range(5, 20))


def test_too_many_chunks_are_refused_as_busy_and_the_queue_stays() -> None:
    depot = Depot([chunk(0, 10)] * 20_000)
    depot.ask(runs=(Run(0, 4096),), run=False)
    for epoch, first in ((2, 4096), (3, 8192)):
        depot.ask(runs=(Run(first, 4096),), epoch=epoch, run=False)
    waiting = sum(len(job.numbers) for job in depot.state.queues["a"])
    assert waiting <= MAX_QUEUED_CHUNKS
    depot.ask(runs=(Run(12_288, 4096),), epoch=4, run=False)
    assert depot.frames()[-1].refusal is Refusal.BUSY
    assert depot.frames()[-1].retry_after_ms > 0
    assert sum(len(job.numbers) for job in depot.state.queues["a"]) == waiting


def test_devices_take_turns() -> None:
    depot = Depot([chunk(number, 64 * KIB) for number in range(200)])
    depot.ask("a", runs=(Run(0, 200),), run=False)
    loading = depot.state.loading
    depot.ask("b", runs=(Run(0, 4),), run=False)
    depot.ask("c", runs=(Run(0, 4),), run=False)
    depot.tell(depot.load(Load(loading)))
    order = [device for _, device, _ in depot.sent]
    assert max(order.index("b"), order.index("c")) < len(order) / 4
    assert depot.got("b") == {number: depot.chunks[number] for number in range(4)}


def test_the_rate_of_each_device_and_of_all_is_kept() -> None:
    limits = Limits(
        max_frame_bytes=64 * KIB, per_device=Rate(100 * KIB, 64 * KIB), overall=Rate(150 * KIB, 64 * KIB)
    )
    depot = Depot([chunk(number, 16 * KIB) for number in range(64)], limits=limits)
    depot.ask("a", runs=(Run(0, 64),), run=False)
    loading = depot.state.loading
    depot.ask("b", runs=(Run(0, 64),), run=False)
    depot.tell(depot.load(Load(loading)))
    for devices, rate in (({"a"}, 100 * KIB), ({"b"}, 100 * KIB), ({"a", "b"}, 150 * KIB)):
        mine = [(when, len(payload)) for when, device, payload in depot.sent if device in devices]
        for until in {when for when, _ in mine}:
            sent = sum(size for when, size in mine if when <= until)
            batch = 4 * 64 * KIB  # may be in debt
            assert sent <= rate * until + 64 * KIB + batch
    seconds = max(when for when, _, _ in depot.sent)
    assert seconds == pytest.approx(2 * 64 * 16 / 150, rel=0.35)
    assert depot.got("a") == depot.got("b") == dict(enumerate(depot.chunks))


def test_a_damaged_chunk_is_never_sent_and_is_named() -> None:
    depot = Depot([chunk(number, 1000) for number in range(30)], damaged={7})
    depot.ask(runs=(Run(0, 30),))
    assert depot.got() == {number: depot.chunks[number] for number in range(7)}
    last = depot.frames()[-1]
    assert (last.refusal, last.text) == (Refusal.DAMAGED, "pack p, chunk 7 is damaged")
    assert depot.state.queues == {}
    depot.ask("b", runs=(Run(10, 5),))
    assert set(depot.got("b")) == set(range(10, 15))
    depot.damaged.clear()
    depot.ask(runs=(Run(7, 23),), epoch=2)
    assert depot.got() == dict(enumerate(depot.chunks))


@given(
    sizes=st.lists(st.integers(2, 30_000), min_size=1, max_size=40),
    asks=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 39), st.integers(1, 40), st.integers(1024, 40_000)),
        min_size=1,
        max_size=8,
    ),
    rate=st.sampled_from([0.0, 50_000.0, 1e6]),
    per_device=st.sampled_from([0.0, 30_000.0]),
)
def test_every_wish_is_fulfilled_within_the_limits(
    sizes: list[int], asks: list[tuple[str, int, int, int]], rate: float, per_device: float
) -> None:
    limits = Limits(per_device=Rate(per_device), overall=Rate(rate))
    depot = Depot([chunk(number, size) for number, size in enumerate(sizes)], limits=limits)
    wanted: dict[str, set[int]] = {}
    smallest: dict[str, int] = {}
    for epoch, (device, number, most, frame) in enumerate(asks):
        first = number % len(sizes)
        length = min(most, len(sizes) - first)
        depot.ask(device, runs=(Run(first, length),), epoch=epoch, max_frame_bytes=frame, run=False)
        wanted.setdefault(device, set()).update(range(first, first + length))
        smallest[device] = max(smallest.get(device, 0), frame)
    if depot.state.loading is not None:
        depot.tell(depot.load(Load(depot.state.loading)))
    for device, numbers in wanted.items():
        assert depot.got(device) == {number: depot.chunks[number] for number in numbers}
    for _, device, payload in depot.sent:
        assert len(payload) <= min(smallest[device], 256 * KIB)
    assert (depot.state.queues, depot.state.loading, depot.state.parked) == ({}, None, ())


@given(
    st.integers(1, 10**6),
    st.integers(1, 10**6),
    st.lists(st.tuples(st.floats(-5, 100), st.integers(0, 10**6)), max_size=30),
)
def test_a_bucket_never_gives_more_than_rate_and_burst(
    rate: int, burst: int, steps: list[tuple[float, int]]
) -> None:
    bucket, now, sent, newest = Bucket.full(Rate(rate, burst), 0.0), 0.0, 0, 0.0
    for passed, size in steps:
        now += passed
        newest = max(newest, now)
        if bucket.wait(now) == 0:
            bucket = bucket.charged(size, now)
            sent += size
            assert sent <= burst + rate * newest + size + 1e-3 * sent
        else:
            assert bucket.wait(now + bucket.wait(now) + 1e-6) == pytest.approx(0, abs=1e-6)


class Device:
    """The other machine, `transfer`, with a disk that keeps everything and a network that may lose what it sends."""

    def __init__(self, depot: Depot, opened: list[bytes], frame: int, losses: list[bool]) -> None:
        self.depot, self.opened, self.lost, self.delivered = depot, opened, iter(losses), 0
        self.refs = tuple(ChunkRef(digest_of(data), len(data)) for data in opened)
        have = Bitmap.empty(len(opened))
        self.state, self.todo = transfer.begin(
            "a", MODEL, self.refs, have, max_frame_bytes=frame, settings=PaceSettings()
        )

    def tell(self, event: exchange.Tick | FrameArrived | Reconnected) -> None:
        self.state, actions = transfer.step(self.state, event, self.depot.now)
        self.todo += actions

    def turn(self) -> None:
        """Do what is to be done, take what has come; let time pass when there is neither."""
        todo, self.todo = self.todo, ()
        for action in todo:
            if isinstance(action, Request) and not next(self.lost, False):
                self.depot.tell(Asked("a", encode_request(action.request)))
            elif isinstance(action, Store):
                assert open_chunk(action.stored, *self.refs[action.number]) == self.opened[action.number]
                self.tell(ChunkStored(action.number))
            elif isinstance(action, Commit):
                self.tell(Committed(action.numbers))
        arrived = self.depot.sent[self.delivered :]
        self.delivered += len(arrived)
        for _, _, payload in arrived:
            if not next(self.lost, False):
                self.tell(FrameArrived(payload))
        if not todo and not arrived:
            self.depot.now += 0.5
            self.tell(exchange.Tick())


@given(
    sizes=st.lists(st.integers(1, 20_000), min_size=1, max_size=30),
    losses=st.lists(st.booleans(), max_size=40),
    frame=st.sampled_from([1 * KIB, 4 * KIB, 120 * KIB]),
)
@settings(deadline=None, max_examples=30)
def test_a_device_gets_everything_from_a_depot_over_a_network_that_loses(
    sizes: list[int], losses: list[bool], frame: int
) -> None:
    opened = [number.to_bytes(2, "big") + bytes(size) for number, size in enumerate(sizes)]
    depot = Depot([store_chunk(data) for data in opened])
    depot.offer = Offer(MODEL, len(depot.index), tuple(len(data) for data in opened))
    device = Device(depot, opened, frame, losses)
    device.tell(Reconnected())
    for _ in range(10_000):  # forty losses in a row are waited out in about 4,500
        if device.state.finished:
            break
        device.turn()
    assert device.state.finished
    assert device.state.have.full
