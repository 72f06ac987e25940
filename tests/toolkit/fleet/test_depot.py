"""A depot over a real Mosquitto, asked by a device that is written out by hand in `world`."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty

import pytest

from tests.toolkit.fleet.world import TOPICS, World, running
from tests.toolkit.registry.making import Site, drifting, make_model, make_site
from toolkit.errors import UnreachableError
from toolkit.fleet.broker import start_broker
from toolkit.fleet.depot import Depot
from toolkit.link.link import Arrived
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.protocol.buckets import Rate
from toolkit.protocol.supply import Limits
from toolkit.registry.push import PushRequest, push
from toolkit.wire.chunk import open_chunk
from toolkit.wire.frame import FrameKind, Refusal
from toolkit.wire.index import distinct_chunks
from toolkit.wire.request import runs_of


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


def test_a_patch_is_laid_out_with_its_target_and_served_like_any_artifact(world: World) -> None:
    site = world.site
    for step in (0, 1):
        model, golden = drifting(site.folder / f"step-{step}", step)
        pushed = push(site.store, PushRequest(model, golden, "digits", str(step)), site.key)
    world.announce(pushed.artifact)
    depot, asker = world.depot(), world.asker()
    (patch,) = asker.manifest(site, pushed.artifact).patches
    manifest = asker.manifest(site, patch.artifact)
    index = asker.index(manifest, patch.artifact)
    got = asker.fetch(index, patch.artifact, list(range(manifest.chunks)))
    assert sum(map(len, got.values())) == manifest.total_bytes
    assert depot.counters.bytes_sent < 1.05 * patch.download_bytes
    assert depot.manifests == 2


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

    def is_answered() -> bool:
        """Ask again, as devices do: what the broker gave to the one that was just going is lost."""
        asker.ask(artifact, index_from=0)
        with suppress(Empty):
            return isinstance(asker.link.events.get(timeout=5), Arrived)
        return False

    wait_until(is_answered, "the second one answers")
    assert depots[0].counters.requests == 5
    assert depots[1].counters.requests >= 6


def test_the_gate_holds_each_frame(world: World, wait_until) -> None:
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
    wait_until(lambda: len(numbers) == 3, "the next one stands before the gate")
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
    for payload in (b"", b"\xff" * 100, random.Random(1).randbytes(70_000), b"\x00"):
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
