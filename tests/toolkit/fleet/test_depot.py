"""A depot over a real Mosquitto, asked by a device that is written out here by hand."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty
from typing import Literal

import pytest

from tests.toolkit.registry.making import Site, make_model, make_site
from toolkit.errors import UnreachableError
from toolkit.fleet.broker import LocalBroker, start_broker
from toolkit.fleet.depot import Depot
from toolkit.link.link import Arrived, Connected
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.protocol.buckets import Rate
from toolkit.protocol.supply import Limits
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.wire.chunk import open_chunk
from toolkit.wire.digest import Digest
from toolkit.wire.document import encode_json
from toolkit.wire.frame import Frame, FrameKind, Refusal, decode_frame
from toolkit.wire.index import Index, decode_index, distinct_chunks
from toolkit.wire.manifest import Manifest, decode_manifest
from toolkit.wire.request import ChunkRequest, encode_request, runs_of
from toolkit.wire.rollout import Rollout, RolloutSpec, Wave
from toolkit.wire.signature import seal, unseal
from toolkit.wire.topics import Topics

TOPICS = Topics("north")


@dataclass
class Asker:
    """A device: it asks, puts pieces together, checks, and keeps what it got."""

    link: PahoLink
    name: str
    epoch: int = 0
    frames: list[Frame] = field(default_factory=list)

    def connect(self) -> None:
        for topic in (TOPICS.data(self.name), f"{TOPICS.root}/a/+/m"):
            self.link.subscribe(topic, qos=1)
        self.link.connect()
        assert isinstance(self.link.events.get(timeout=30), Connected)

    def ask(self, artifact: Digest, **fields: object) -> None:
        self.epoch += 1
        request = ChunkRequest(device=self.name, artifact=artifact, epoch=self.epoch, **fields)
        self.link.publish(TOPICS.request(self.name), encode_request(request))

    def await_message(self, wanted: Callable[[Arrived], bool], seconds: float = 15.0) -> Arrived:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                event = self.link.events.get(timeout=left)
            except Empty:
                break
            if isinstance(event, Arrived):
                if event.topic == TOPICS.data(self.name):
                    self.frames.append(decode_frame(event.payload))
                if wanted(event):
                    return event
        pytest.fail(f"{self.name} waited in vain; it has {len(self.frames)} frames")

    def frame(self, wanted: Callable[[Frame], bool]) -> Frame:
        self.await_message(lambda event: event.topic == TOPICS.data(self.name) and wanted(self.frames[-1]))
        return self.frames[-1]

    def manifest(self, site: Site, artifact: Digest) -> Manifest:
        event = self.await_message(lambda event: event.topic == TOPICS.manifest(artifact))
        found, manifest = decode_manifest(unseal(event.payload, "manifest", site.keyring, what="it"))
        assert found == artifact
        return manifest

    def index(self, manifest: Manifest, artifact: Digest) -> Index:
        self.ask(artifact, index_from=0)
        got = b""
        while len(got) < manifest.index_bytes:
            for piece in self.frame(lambda frame: frame.kind is FrameKind.INDEX).pieces:
                assert piece.offset == len(got)
                got += piece.data
        return decode_index(got, manifest.index)

    def fetch(self, index: Index, artifact: Digest, numbers: list[int]) -> dict[int, bytes]:
        """Ask for chunks once and wait until all are whole."""
        refs = distinct_chunks(index)
        self.ask(artifact, runs=runs_of(numbers))
        got: dict[int, bytes] = {}
        while set(got) != set(numbers):
            for piece in self.frame(lambda frame: frame.kind is FrameKind.CHUNKS).pieces:
                assert piece.whole
                assert piece.number not in got
                got[piece.number] = open_chunk(piece.data, *refs[piece.number])
        return got


@dataclass
class World:
    broker: LocalBroker
    site: Site
    stop: threading.Event = field(default_factory=threading.Event)
    links: list[PahoLink] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def link(self, name: str) -> PahoLink:
        settings = settings_from_url(self.broker.url, name)
        self.links.append(PahoLink(replace(settings, retry_first_seconds=0.05, retry_longest_seconds=0.2)))
        return self.links[-1]

    def open_store(self) -> PackStore:
        return PackStore(DirectoryRemote(str(self.site.folder / "registry")))

    def depot(self, name: str = "depot-1", stop: threading.Event | None = None, **options: object) -> Depot:
        depot = Depot(self.link(name), TOPICS, self.open_store, self.site.keyring, **options)
        ready = threading.Event()

        def run() -> None:
            try:
                depot.run(stop or self.stop, ready=ready.set)
            except BaseException as error:
                self.failures.append(error)
                raise

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()
        assert ready.wait(60)
        return depot

    def asker(self, name: str = "endo-01") -> Asker:
        asker = Asker(self.link(name), name)
        asker.connect()
        return asker

    def announce(self, artifact: Digest, key: object = None, name: str = "digits-1") -> None:
        spec = RolloutSpec(
            model="digits", version="1", artifact=artifact, devices=("endo-01",), waves=(Wave(devices=1),)
        )
        sealed = seal(
            encode_json(Rollout(name=name, number=1, seq=1, spec=spec)), "rollout", key or self.site.key
        )
        operator = self.link(f"operator-{len(self.links)}")
        operator.connect()
        operator.publish(TOPICS.rollout(name), sealed, qos=1, retain=True)
        assert operator.flush(10)

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
        for link in self.links:
            link.close()
        self.broker.stop()


@contextmanager
def running(kind: Literal["mosquitto", "amqtt"], folder: Path, site: Site) -> Iterator[World]:
    world = World(start_broker(folder / "broker", kind=kind), site)
    try:
        yield world
    finally:
        world.end()
    assert world.failures == []


@pytest.fixture
def world(tmp_path: Path, site: Site, require) -> Iterator[World]:
    require("mosquitto")
    with running("mosquitto", tmp_path, site) as world:
        yield world


@pytest.fixture(params=["mosquitto", "amqtt"])
def any_world(request: pytest.FixtureRequest, tmp_path: Path, site: Site, require) -> Iterator[World]:
    require(request.param)
    with running(request.param, tmp_path, site) as world:
        yield world


def test_a_device_gets_manifest_index_and_chunks(any_world: World) -> None:
    world = any_world
    artifact = world.site.push(version="1").artifact
    world.announce(artifact)
    depot, asker = world.depot(), world.asker()
    manifest = asker.manifest(world.site, artifact)
    index = asker.index(manifest, artifact)
    got = asker.fetch(index, artifact, list(range(manifest.chunks)))
    numbers = {ref.digest: number for number, ref in enumerate(distinct_chunks(index))}
    files = {
        entry.path: b"".join(got[numbers[ref.digest]] for ref in entry.refs()) for entry in index.entries
    }
    model, golden = make_model(world.site.folder / "again")
    assert files == {b"model.onnx": model.read_bytes(), b"golden.npz": golden.read_bytes()}
    assert depot.counters.requests == 2
    assert depot.counters.bytes_sent < 1.02 * (manifest.total_bytes + manifest.index_bytes)


def test_a_delta_costs_only_its_chunks(any_world: World) -> None:
    world = any_world
    site = world.site
    first, second = site.push(version="1", head=1), site.push(version="2", head=2)
    depot, asker = world.depot(), world.asker()
    artifacts = [first.artifact, second.artifact]
    indexes = []
    for artifact in artifacts:
        world.announce(artifact, name=f"digits-{len(indexes)}")
        indexes.append(asker.index(asker.manifest(site, artifact), artifact))
    have = {ref.digest for ref in distinct_chunks(indexes[0])}
    lacking = [number for number, ref in enumerate(distinct_chunks(indexes[1])) if ref.digest not in have]
    before = depot.counters.bytes_sent
    asker.fetch(indexes[1], artifacts[1], lacking)
    assert len(lacking) == second.delta_chunks
    assert depot.counters.bytes_sent - before < 0.35 * first.total_bytes


def test_a_damaged_pack_is_named_and_never_sent(world: World, caplog: pytest.LogCaptureFixture) -> None:
    artifact = world.site.push(version="1").artifact
    (pack,) = (world.site.folder / "registry" / "packs").iterdir()
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(data)
    depot, asker = world.depot(), world.asker()
    world.announce(artifact)
    manifest = asker.manifest(world.site, artifact)
    index = asker.index(manifest, artifact)
    asker.ask(artifact, runs=runs_of(list(range(manifest.chunks))))
    refusal = asker.frame(lambda frame: frame.kind is FrameKind.REFUSAL)
    assert refusal.refusal is Refusal.DAMAGED
    assert pack.name[:12] in refusal.text
    refs = distinct_chunks(index)
    sent = [piece for frame in asker.frames if frame.kind is FrameKind.CHUNKS for piece in frame.pieces]
    for piece in sent:
        open_chunk(piece.data, *refs[piece.number])  # raises if it is not what it should be
    damaged = refs[len(sent)].digest[:12]
    assert damaged in refusal.text
    assert [pack.name[:12] in text and damaged in text for text in depot.counters.damaged] == [True]
    assert any(damaged in record.getMessage() for record in caplog.records if record.levelname == "ERROR")


def test_a_registry_that_comes_later_is_found(world: World) -> None:
    elsewhere = make_site(world.site.folder / "later")
    registry = world.site.folder / "registry"
    registry.rename(world.site.folder / "away")
    world.depot()
    artifact = elsewhere.push(version="7").artifact
    asker = world.asker()
    asker.ask(artifact, index_from=0)
    assert asker.frame(lambda _: True).refusal is Refusal.UNKNOWN_ARTIFACT
    (world.site.folder / "away").rename(registry)
    own = world.site.push(version="1").artifact
    asker.ask(own, index_from=0)
    assert asker.frame(lambda frame: frame.belongs_to(own)).kind is FrameKind.INDEX


def test_what_a_stranger_has_signed_is_neither_laid_out_nor_served(world: World) -> None:
    stranger = make_site(world.site.folder / "stranger")
    depot, asker = world.depot(), world.asker()
    own_key, world.site.key = world.site.key, stranger.key
    forged = world.site.push(version="9").artifact
    world.site.key = own_key
    good = world.site.push(version="1", head=2).artifact
    world.announce(forged)
    world.announce(good, key=stranger.key, name="forged-rollout")
    asker.ask(forged, index_from=0)
    refusal = asker.frame(lambda frame: frame.kind is FrameKind.REFUSAL)
    assert refusal.refusal is Refusal.UNKNOWN_ARTIFACT
    assert "not trusted as registry" in refusal.text
    asker.ask(good, index_from=0)
    asker.frame(lambda frame: frame.belongs_to(good) and frame.kind is FrameKind.INDEX)
    assert depot.manifests == 0


def test_manifests_are_laid_out_again_when_the_broker_has_forgotten_them(world: World, wait_until) -> None:
    artifact = world.site.push(version="1").artifact
    world.announce(artifact)
    depot = world.depot()
    wait_until(lambda: depot.manifests == 1, "the manifest is laid out")
    port = world.broker.port
    world.broker.stop()
    world.broker = start_broker(world.site.folder / "broker-2", port=port, kind=world.broker.kind)
    assert world.asker().manifest(world.site, artifact).version == "1"


def test_a_manifest_that_could_not_be_read_is_laid_out_later(world: World) -> None:
    artifact = world.site.push(version="1").artifact
    manifest = world.site.folder / "registry" / "manifests" / artifact
    manifest.rename(world.site.folder / "away")
    world.announce(artifact)
    depot, asker = world.depot(), world.asker()
    asker.ask(artifact, index_from=0)
    assert asker.frame(lambda _: True).refusal is Refusal.UNKNOWN_ARTIFACT
    assert depot.manifests == 0
    (world.site.folder / "away").rename(manifest)
    assert asker.manifest(world.site, artifact).version == "1"


def test_two_depots_share_the_requests_and_one_that_ends_is_not_missed(world: World, wait_until) -> None:
    artifact = world.site.push(version="1").artifact
    first_stop = threading.Event()
    depots = [world.depot("depot-1", first_stop), world.depot("depot-2")]
    asker = world.asker()
    for _ in range(10):
        asker.ask(artifact, index_from=0)
        asker.frame(lambda frame: frame.kind is FrameKind.INDEX)
    assert [depot.counters.requests for depot in depots] == [5, 5]
    first_stop.set()
    world.threads[0].join(60)
    wait_until(lambda: not world.threads[0].is_alive(), "the first depot has ended")
    asker.ask(artifact, index_from=0)
    asker.frame(lambda frame: frame.kind is FrameKind.INDEX)
    assert depots[1].counters.requests == 6


def test_the_gate_holds_each_frame(world: World) -> None:
    artifact = world.site.push(version="1", width=60_000).artifact
    opened, numbers = threading.Event(), []
    asker = world.asker()

    def gate(number: int) -> None:
        numbers.append(number)
        if number == 2:
            opened.wait(60)

    depot = world.depot(gate=gate)
    world.announce(artifact)
    manifest = asker.manifest(world.site, artifact)
    asker.index(manifest, artifact)
    asker.ask(artifact, runs=runs_of(list(range(manifest.chunks))))
    asker.frame(lambda frame: frame.kind is FrameKind.CHUNKS)
    with pytest.raises(Empty):
        asker.link.events.get(timeout=0.3)
    assert depot.counters.frames == 2
    opened.set()
    while (
        sum(len(frame.pieces) for frame in asker.frames if frame.kind is FrameKind.CHUNKS) < manifest.chunks
    ):
        asker.frame(lambda _: True)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 3


def test_the_rate_of_a_device_is_kept(world: World) -> None:
    artifact = world.site.push(version="1").artifact
    limits = Limits(max_frame_bytes=80 * 1024, per_device=Rate(300_000, 1))
    world.depot(limits=limits)
    world.announce(artifact)
    asker = world.asker()
    manifest = asker.manifest(world.site, artifact)
    index = asker.index(manifest, artifact)
    before = time.monotonic()
    asker.fetch(index, artifact, list(range(manifest.chunks)))
    batch = 4 * 80 * 1024  # what is over one batch has to wait for it
    assert time.monotonic() - before > 0.8 * min(batch, manifest.total_bytes - batch) / 300_000


def test_noise_does_not_stop_it(world: World, wait_until) -> None:
    artifact = world.site.push(version="1").artifact
    depot, asker = world.depot(), world.asker()
    for payload in (b"", b"\xff" * 100, os.urandom(70_000), b"\x00"):
        asker.link.publish(TOPICS.request("endo-01"), payload, qos=1)
        asker.link.publish(TOPICS.rollout("noise"), payload, qos=1)
    asker.link.publish(f"{TOPICS.root}/d/../req", b"", qos=1)
    asker.ask(artifact, index_from=0)
    asker.frame(lambda frame: frame.kind is FrameKind.INDEX)
    wait_until(lambda: depot.counters.refused["unreadable"] == 4, "four unreadable requests are counted")


def test_an_unreachable_broker_is_an_error_within_seconds(site: Site, free_port) -> None:
    port = free_port()
    link = PahoLink(settings_from_url(f"mqtt://127.0.0.1:{port}", "depot"))
    depot = Depot(link, TOPICS, lambda: site.store, site.keyring)
    before = time.monotonic()
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{port}") as caught:
        depot.run(threading.Event())
    assert time.monotonic() - before < 40
    assert "--broker" in caught.value.hint
    assert caught.value.exit_code == 5
