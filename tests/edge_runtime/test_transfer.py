"""Fetching as the daemon does it, with a real disk thread and store: what is counted as stored is durable."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from queue import Empty, Queue

import numpy as np
import pytest

from edge_runtime.folders import Folders
from edge_runtime.part import Part
from edge_runtime.store import Store
from edge_runtime.transfer import Fetches, Surroundings
from edge_runtime.worker import Worker
from toolkit.protocol.buckets import Rate
from toolkit.protocol.exchange import Disconnected, Finished, FrameArrived, GivenUp, Reconnected, Tick
from toolkit.protocol.pace import PaceSettings
from toolkit.wire.frame import FrameKind, Piece, encode_pieces
from toolkit.wire.index import ChunkRef
from toolkit.wire.request import decode_request


class Bench:
    """Fetches with everything around them; the test is the depot and the control thread."""

    def __init__(self, folder: Path, made, open_part=Part) -> None:
        self.made = made
        self.calls: Queue = Queue()
        self.folders = Folders(folder)
        self.folders.prepare()
        self.store = Store(self.folders.database)
        self.store.save_manifest(made.artifact, "m", made.sealed)
        self.disk = Worker("disk", self.calls.put)
        self.asked: list[int] = []
        self.ended: list[object] = []
        around = Surroundings(
            device="d",
            store=self.store,
            folders=self.folders,
            disk=self.disk,
            send=self.send,
            now=time.monotonic,
            max_frame_bytes=100_000,
            settings=PaceSettings(),
            open_part=open_part,
        )
        self.fetches = Fetches(around, starts=1)

    def send(self, payload: bytes) -> None:
        request = decode_request(payload)
        made = self.made
        if request.index_from is not None:
            piece = Piece(0, request.index_from, len(made.index), made.index[request.index_from :])
            frame = encode_pieces(FrameKind.INDEX, made.artifact, request.epoch, [piece])
            self.calls.put(partial(self.fetches.tell, FrameArrived(frame)))
            return
        for run in request.runs:
            for number in range(run.first, run.first + run.length):
                self.asked.append(number)
                stored = made.stored[made.chunks[number].digest]
                piece = Piece(number, 0, len(stored), stored)
                frame = encode_pieces(FrameKind.CHUNKS, made.artifact, request.epoch, [piece])
                self.calls.put(partial(self.fetches.tell, FrameArrived(frame)))

    def start(self) -> None:
        self.fetches.start_chunks("m", self.made.artifact, self.made.chunks, self.ended.append)

    def run(self, seconds: float = 60.0) -> object:
        until = time.monotonic() + seconds
        while not self.ended and time.monotonic() < until:
            try:
                self.calls.get(timeout=0.05)()
            except Empty:
                self.fetches.tell(Tick())
        return self.ended[-1] if self.ended else None

    @property
    def have(self) -> int:
        return self.store.bitmap(self.made.artifact, len(self.made.chunks)).count


@pytest.fixture
def made(keys):
    return keys.make("v1", {"model.onnx": np.random.default_rng(1).bytes(2_500_000)})


@pytest.fixture
def bench(tmp_path: Path, made) -> Iterator[Bench]:
    bench = Bench(tmp_path, made)
    yield bench
    bench.disk.close()
    bench.store.close()


def test_chunks_come_are_stored_and_counted(bench: Bench, made) -> None:
    bench.start()
    bench.fetches.tell(Reconnected())
    assert bench.run() == Finished()
    assert bench.have == len(made.chunks)
    tally = bench.store.tally(made.artifact)
    assert tally.received == sum(len(made.stored[chunk.digest]) for chunk in made.chunks)
    assert (tally.resent, tally.bad) == (0, 0)
    assert not bench.fetches.active


def test_an_index_comes_and_is_counted(bench: Bench, made) -> None:
    bench.fetches.tell(Reconnected())
    bench.fetches.start_index("m", made.artifact, made.manifest, bench.ended.append)
    assert bench.run() == made.index
    assert bench.store.tally(made.artifact).received == len(made.index)


def test_nothing_is_asked_without_a_link_and_what_was_stored_is_not_asked_again(bench: Bench, made) -> None:
    bench.start()
    assert bench.run(0.3) is None
    assert not bench.asked
    bench.fetches.tell(Reconnected())
    while bench.have < 30:
        bench.calls.get(timeout=60)()
    bench.fetches.tell(Disconnected())
    while not bench.calls.empty():  # what is still on its way comes, or does not
        bench.calls.get()
    bench.fetches.stop("m")
    stored = {
        number
        for number in range(len(made.chunks))
        if number in bench.store.bitmap(made.artifact, len(made.chunks))
    }
    bench.asked.clear()
    bench.start()
    bench.fetches.tell(Reconnected())
    assert bench.run() == Finished()
    assert not stored & set(bench.asked)


class UnsafeDisk(Part):
    """A disk that takes writes and fails to make them durable."""

    def sync(self) -> None:
        raise OSError(errno.EIO, "input/output error")


class FullDisk(Part):
    """A disk on which there is no room after all."""

    def write(self, number: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, f"no space left on device for chunk {number} of {len(data)} bytes")


@pytest.mark.parametrize(("disk", "code"), [(UnsafeDisk, "io-error"), (FullDisk, "no-space")])
def test_chunks_that_are_not_durable_do_not_enter_the_bitmap(
    tmp_path: Path, made, disk: type[Part], code: str
) -> None:
    bench = Bench(tmp_path, made, open_part=disk)
    bench.start()
    bench.fetches.tell(Reconnected())
    ended = bench.run()
    assert isinstance(ended, GivenUp)
    assert ended.code == code
    bench.disk.close()
    assert bench.have == 0
    bench.store.close()


def test_a_folder_that_cannot_be_written_ends_the_fetch(bench: Bench) -> None:
    (bench.folders.state / "parts").rmdir()
    (bench.folders.state / "parts").write_bytes(b"")
    bench.start()
    ended = bench.run()
    assert isinstance(ended, GivenUp)
    assert ended.code == "io-error"


def test_stopping_calls_nothing_back(bench: Bench) -> None:
    bench.start()
    bench.fetches.tell(Reconnected())
    bench.fetches.stop("m")
    assert bench.run(0.5) is None


def test_epochs_of_different_starts_do_not_meet(bench: Bench) -> None:
    def epochs(starts: int) -> int:
        return Fetches(bench.fetches._around, starts)._next_epoch()

    assert len({epochs(starts) for starts in range(1, 200)}) == 199
    assert max(epochs(starts) for starts in (1, 1023, 10**9)) < 1 << 32


def test_no_chunks_are_fetched_at_once(tmp_path: Path, keys) -> None:
    empty = keys.make("v1", {})
    bench = Bench(tmp_path, empty)
    bench.start()
    assert bench.run() == Finished()
    assert not bench.asked
    bench.disk.close()
    bench.store.close()


def test_a_chunk_list_of_another_artifact_does_not_share_its_bitmap(bench: Bench, made) -> None:
    other = tuple(ChunkRef(chunk.digest, chunk.size) for chunk in made.chunks[:-1])
    bench.start()
    bench.fetches.tell(Reconnected())
    assert bench.run() == Finished()
    assert bench.store.bitmap(made.artifact, len(other)).count == 0


def test_fetches_of_several_models_share_one_limit(tmp_path, made) -> None:
    bench = Bench(tmp_path, made)
    bench.fetches.limit(100_000)
    bench.fetches.start_chunks("one", made.artifact, made.chunks, bench.ended.append)
    assert bench.fetches.chunks["one"].rate.bytes_per_second == 100_000
    bench.fetches.start_chunks("two", made.artifact, made.chunks, bench.ended.append)
    assert {each.rate.bytes_per_second for each in bench.fetches.chunks.values()} == {50_000}
    bench.fetches.stop("two")
    assert bench.fetches.chunks["one"].rate.bytes_per_second == 100_000
    bench.fetches.limit(0)
    assert bench.fetches.chunks["one"].rate == Rate(0, bench.fetches.chunks["one"].rate.burst_bytes)
    bench.fetches.stop("one")
    bench.disk.close()
    bench.store.close()
