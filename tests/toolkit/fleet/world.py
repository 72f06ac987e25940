"""A site with a real broker, depots in threads of their own, and devices that are written out here by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty
from typing import Literal

import pytest

from tests.ports import one_free_port
from tests.toolkit.registry.making import Site
from toolkit.fleet.broker import LocalBroker, start_broker
from toolkit.fleet.depot import Depot
from toolkit.link.link import Arrived, Connected, Disconnected
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.wire.chunk import open_chunk
from toolkit.wire.digest import Digest
from toolkit.wire.document import encode_json
from toolkit.wire.frame import Frame, FrameKind, decode_frame
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
        while not isinstance(
            event := self.link.events.get(timeout=60), Connected
        ):  # a busy broker takes a second try
            assert isinstance(event, Disconnected), event

    def ask(self, artifact: Digest, **fields: object) -> None:
        self.epoch += 1
        request = ChunkRequest(device=self.name, artifact=artifact, epoch=self.epoch, **fields)
        self.link.publish(TOPICS.request(self.name), encode_request(request))

    def await_message(self, wanted: Callable[[Arrived], bool], seconds: float = 60.0) -> Arrived:
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
        assert operator.flush(60)

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
        for link in self.links:
            link.close()
        self.broker.stop()


@contextmanager
def running(kind: Literal["mosquitto", "amqtt"], folder: Path, site: Site) -> Iterator[World]:
    world = World(start_broker(folder / "broker", kind=kind, choose=one_free_port), site)
    try:
        yield world
    finally:
        world.end()
    assert world.failures == []
