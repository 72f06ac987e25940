"""Several devices fetch one artifact over a real broker from a real depot that streams it to all of them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, Queue

import pytest

from edge_runtime.folders import Folders
from edge_runtime.line import Line
from edge_runtime.store import Store
from edge_runtime.stream import Listening, _few
from edge_runtime.transfer import Fetches, Surroundings
from edge_runtime.worker import Worker
from tests.edge_runtime.test_roads import Made, made
from tests.toolkit.fleet.world import TOPICS, World, running
from toolkit.fleet.depot import Depot
from toolkit.link.link import Arrived, Connected
from toolkit.link.paho_link import PahoLink
from toolkit.protocol.buckets import Rate
from toolkit.protocol.exchange import Finished, FrameArrived, Reconnected, Tick
from toolkit.protocol.pace import PaceSettings
from toolkit.wire.frame import FrameKind, decode_frame
from toolkit.wire.request import MAX_LACKS, Run

__all__ = ["made"]
pytestmark = pytest.mark.broker
PACE = Rate(3_000_000, 100_000)
CONTROL_BYTES = 60_000
"""What frames weigh beside the chunks in them, all devices together."""
GATHER_SECONDS = 5.0
"""How long a depot here waits for others to come; half a second may pass between two requests where many tests run."""
SLOWNESS = 20
"""So many times as patient as in life are devices here: a busy machine must not make them doubt their stream.

They ask for all at once, too: who asks step by step, and is slow, asks for what has just passed by.
"""


class Hearer:
    """A device: the daemon's fetching, disk and line, in a thread; no model is served."""

    def __init__(
        self,
        world: World,
        folder: Path,
        made: Made,
        name: str,
        *,
        listens: bool = True,
        until: Callable[[int], bool] = lambda _have: False,
    ) -> None:
        self.made, self.name = made, name
        self.until = until
        """Told how many chunks are durable, says when it stands still for ever."""
        self.calls: Queue[Callable[[], None]] = Queue()
        self.folders = Folders(folder)
        self.folders.prepare()
        self.store = Store(self.folders.database)
        self.store.save_manifest(made.artifact, "m", made.site.store.get_sealed(made.artifact))
        self.disk = Worker("disk", self.calls.put)
        self.link: PahoLink = world.link(f"{name}-{time.monotonic_ns()}")
        self.line = Line(name, TOPICS, lambda: self.link)
        self.pulled = 0
        """Bytes of chunks that came to this device alone."""
        self.ended: list[object] = []
        self.killed = threading.Event()
        self.fetches = Fetches(
            Surroundings(
                device=name,
                store=self.store,
                folders=self.folders,
                disk=self.disk,
                send=self.line.request,
                now=lambda: time.monotonic() / SLOWNESS,
                max_frame_bytes=100_000,
                settings=PaceSettings(start_window=8 * 1024 * 1024),
                listen=self.line.listen if listens else None,
            ),
            starts=self.store.next("starts"),
        )
        self.thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self.fetches.start_chunks("m", self.made.artifact, self.made.chunks, self.ended.append)
        self.line.open()
        self.thread.start()

    def _run(self) -> None:
        ticked = 0.0
        while not self.killed.is_set() and not self.until(self.have):
            with suppress(Empty):
                self._take(self.link.events.get(timeout=0.01))
            while not self.calls.empty():
                self.calls.get()()
            if time.monotonic() - ticked > 0.05:
                ticked = time.monotonic()
                self.fetches.tell(Tick())

    def _take(self, event: object) -> None:
        if isinstance(event, Connected):
            self.fetches.tell(Reconnected())
        elif isinstance(event, Arrived) and event.topic == TOPICS.stream(self.made.artifact):
            self.fetches.streamed(self.made.artifact, event.payload)
        elif isinstance(event, Arrived) and event.topic == TOPICS.data(self.name):
            frame = decode_frame(event.payload)
            if frame.kind is FrameKind.CHUNKS:
                self.pulled += sum(len(piece.data) for piece in frame.pieces)
            self.fetches.tell(FrameArrived(event.payload))

    @property
    def have(self) -> int:
        return self.store.bitmap(self.made.artifact, len(self.made.chunks)).count

    @property
    def lacking(self) -> int:
        """Bytes of the chunks that are not here."""
        missing = self.store.bitmap(self.made.artifact, len(self.made.chunks)).missing()
        return sum(len(self.made.stored[self.made.chunks[number].digest]) for number in missing)

    def is_right(self) -> bool:
        whole = self.folders.part(self.made.artifact).read_bytes()
        return self.ended == [Finished()] and whole == self.made.whole

    def kill(self) -> None:
        """End it in the middle; nothing more is written."""
        self.killed.set()
        self.thread.join(60)
        self.link.close()
        self.disk.close()
        self.store.close()


@pytest.fixture
def site(tmp_path: Path, made: Made, require) -> Iterator[World]:
    require("mosquitto")
    with running("mosquitto", tmp_path, made.site) as world:
        yield world


@pytest.fixture
def hearers(site: World, tmp_path: Path, made: Made) -> Iterator[Callable[..., Hearer]]:
    built: list[Hearer] = []

    def build(name: str, **options: bool) -> Hearer:
        built.append(Hearer(site, tmp_path / name, made, name, **options))
        return built[-1]

    yield build
    for each in built:
        if not each.killed.is_set():
            each.kill()


def stored_size(made: Made) -> int:
    return sum(len(made.stored[chunk.digest]) for chunk in made.chunks)


def streamed(depot) -> int:
    return depot.other_roads["broadcast"]()


@contextmanager
def all_at_once(site: World, made: Made, wait_until: Callable[..., None], devices: int) -> Iterator[Depot]:
    """Give a depot that streams, and looks at no request before so many wait; then it takes its time with them.

    One that comes half a second later than the first one may find that it has been served alone.
    """
    stands, go_on = threading.Event(), threading.Event()

    def gate(_frame: int) -> None:
        stands.set()
        go_on.wait()

    depot = site.depot(broadcast=PACE, gate=gate)
    assert depot._streamer is not None
    depot._streamer._held = replace(depot._streamer._held, gather=GATHER_SECONDS)
    asks = site.links[-1].events  # the depot's
    try:
        site.asker("endo-99").ask(made.artifact, index_from=0)
        assert stands.wait(120)
        yield depot
        wait_until(lambda: asks.qsize() >= devices, "all have asked")
    finally:
        go_on.set()


def test_four_devices_cost_the_depot_one(
    site: World, hearers: Callable[..., Hearer], made: Made, wait_until
) -> None:
    devices = [hearers(f"endo-0{number}") for number in range(4)]
    with all_at_once(site, made, wait_until, len(devices)) as depot:
        for each in devices:
            each.start()
    wait_until(lambda: all(each.ended for each in devices), "all have it")
    assert [each.is_right() for each in devices] == [True] * 4
    size = stored_size(made)
    assert streamed(depot) >= size
    assert streamed(depot) + depot.counters.bytes_sent <= 1.02 * size + sum(d.pulled for d in devices)
    assert sum(each.pulled for each in devices) <= 0.05 * size, "nobody has a gap"


def test_one_that_is_killed_in_the_middle_pulls_its_gap_alone(
    site: World, hearers: Callable[..., Hearer], made: Made, wait_until
) -> None:
    devices = [hearers(f"endo-0{number}") for number in range(3)]
    # It stops of itself: before anybody else sees how far it is, it may have all.
    victim = hearers("endo-03", until=lambda have: have > len(made.chunks) // 4)
    with all_at_once(site, made, wait_until, 4) as depot:
        for each in (*devices, victim):
            each.start()
    wait_until(lambda: not victim.thread.is_alive(), "it has a part")
    victim.kill()
    before = streamed(depot)
    wait_until(lambda: streamed(depot) > before + 1_000_000 or devices[0].ended, "the stream has gone on")
    back = hearers(victim.name)
    lacking = back.lacking
    assert lacking > 0
    back.start()
    wait_until(lambda: back.ended and all(each.ended for each in devices), "all have it")
    assert [each.is_right() for each in (*devices, back)] == [True] * 4
    size, gap = stored_size(made), back.pulled
    assert gap <= lacking
    assert gap > 0
    total = streamed(depot) + depot.counters.bytes_sent
    assert total <= size + gap + CONTROL_BYTES + 0.05 * size
    assert sum(each.pulled for each in devices) <= 0.05 * size, "the others hear all of it"


def test_two_are_served_alone_and_none_is_held_up_by_a_stream_it_does_not_hear(
    site: World, hearers: Callable[..., Hearer], made: Made, wait_until
) -> None:
    depot = site.depot(broadcast=PACE)
    pair = [hearers("endo-00"), hearers("endo-01")]
    for each in pair:
        each.start()
    wait_until(lambda: all(each.ended for each in pair), "both have it")
    assert streamed(depot) == 0
    assert [each.is_right() for each in pair] == [True] * 2
    deaf = hearers("endo-02", listens=False)
    deaf.start()
    wait_until(lambda: deaf.ended, "who does not listen has it")
    assert deaf.is_right()
    assert deaf.pulled >= stored_size(made)


def test_a_depot_without_streams_serves_listeners(
    site: World, hearers: Callable[..., Hearer], wait_until
) -> None:
    depot = site.depot()
    devices = [hearers(f"endo-0{number}") for number in range(3)]
    for each in devices:
        each.start()
    wait_until(lambda: all(each.ended for each in devices), "all have it")
    assert [each.is_right() for each in devices] == [True] * 3
    assert depot.other_roads == {}


# ---------------------------------------------------------------- the ear alone
def test_a_silent_stream_is_no_longer_counted_on(made: Made) -> None:
    from toolkit.protocol import transfer
    from toolkit.protocol.bitmap import Bitmap
    from toolkit.wire.request import ChunkRequest, decode_request, encode_request

    now, heard = [0.0], Counter[bool]()
    ear = Listening(made.artifact, lambda _, wanted: heard.update([wanted]), lambda: now[0])
    count = len(made.chunks)
    held, _ = transfer.begin(
        "d", made.artifact, made.chunks, Bitmap.empty(count), max_frame_bytes=100_000, settings=PaceSettings()
    )
    request = ChunkRequest(device="d", artifact=made.artifact, epoch=1, runs=(Run(0, 1),))

    def marked() -> ChunkRequest:
        return decode_request(encode_request(ear.mark(request, held)))

    assert (marked().listens, marked().lacks) == (True, ())
    now[0] = 2.0
    assert marked().lacks == (Run(0, count),)
    now[0] = 5.0
    assert marked() == request
    ear.heard()
    assert marked().listens
    ear.stop()
    assert heard == {True: 1, False: 1}


@pytest.mark.parametrize("count", [1, MAX_LACKS, MAX_LACKS + 1, 4 * MAX_LACKS])
def test_many_gaps_are_told_in_few_runs_that_leave_nothing_out(count: int) -> None:
    runs = [Run(10 * number + number % 3, 1 + number % 5) for number in range(count)]
    few = _few(runs)
    assert len(few) == min(count, MAX_LACKS)
    covered = {n for run in few for n in range(run.first, run.first + run.length)}
    assert covered >= {n for run in runs for n in range(run.first, run.first + run.length)}
