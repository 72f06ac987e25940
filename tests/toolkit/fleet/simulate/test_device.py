"""A simulated device over a broker in memory, with the real depot: it keeps to what a device keeps to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.fleet.depot import Depot
from toolkit.fleet.simulate.artifact import content_of, lay_in
from toolkit.fleet.simulate.device import SimulatedDevice
from toolkit.fleet.simulate.faults import Manners
from toolkit.link.link import Arrived
from toolkit.link.memory_link import MemoryBroker, MemoryLink
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.wire.desired import Desired, DesiredModel
from toolkit.wire.digest import Digest
from toolkit.wire.document import encode_json
from toolkit.wire.keyring import Keyring, TrustedKey
from toolkit.wire.report import ModelReport, decode_report
from toolkit.wire.rollout import Rollout, RolloutSpec, Wave
from toolkit.wire.signature import seal
from toolkit.wire.topics import Topics

TOPICS = Topics("north")
KEY, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
KEYRING = Keyring(
    keys=(TrustedKey(public=KEY.public_key().public_bytes_raw(), roles=("operator", "registry")),)
)
SIZE = 200_000


class World:
    """A depot in a thread, a device in ours, and a clock that we set."""

    def __init__(self, folder: Path) -> None:
        self.broker = MemoryBroker()
        self.operator = MemoryLink(self.broker)
        self.operator.subscribe(TOPICS.state("+"))
        self.operator.subscribe(TOPICS.presence("+"))
        self.operator.connect()
        self.store = PackStore(DirectoryRemote(str(folder), create=True))
        self.artifacts = {
            version: lay_in(
                self.store, KEY, "model", version, counter=counter, content=content_of(SIZE, 7, counter)
            )
            for counter, version in enumerate(("1", "2"), start=1)
        }
        self.now = 100.0
        self.stop = threading.Event()
        self.at_frame = lambda _number: None
        self.depot = Depot(
            MemoryLink(self.broker),
            TOPICS,
            lambda: PackStore(DirectoryRemote(str(folder))),
            KEYRING,
            gate=self._gate,
        )
        self.thread = threading.Thread(target=self.depot.run, args=(self.stop,), daemon=True)
        self.thread.start()
        for number, (version, artifact) in enumerate(self.artifacts.items()):
            spec = RolloutSpec(
                model="model", version=version, artifact=artifact, devices=("box",), waves=(Wave(devices=1),)
            )
            rollout = Rollout(name=f"to-{version}", number=number + 1, seq=1, spec=spec)
            sealed = seal(encode_json(rollout), "rollout", KEY)
            self.operator.publish(TOPICS.rollout(rollout.name), sealed, qos=1, retain=True)
        self.device = SimulatedDevice("box", TOPICS, KEYRING, Manners(frozenset({"2"})), lambda: self.now)
        self.device.open(MemoryLink(self.broker))
        self.reports: list[ModelReport] = []

    def _gate(self, number: int) -> None:
        self.at_frame(number)

    def want(
        self, version: str, seq: int, key: Ed25519PrivateKey = KEY, artifact: Digest | None = None
    ) -> None:
        model = DesiredModel(
            model="model",
            version=version,
            artifact=artifact or self.artifacts[version],
            rollout=f"to-{version}",
        )
        desired = Desired(device="box", seq=seq, fence=1, models=(model,))
        sealed = seal(encode_json(desired), "desired", key)
        self.operator.publish(TOPICS.desired("box"), sealed, qos=1, retain=True)

    def turn(self) -> None:
        # Checks and probation may pass quickly; a fetch must not run into its time-outs because a machine is busy.
        self.now += 0.001 if self.device._fetch.active else 0.1
        self.device.turn()
        while self.operator.events.qsize():
            event = self.operator.events.get()
            if isinstance(event, Arrived) and event.topic == TOPICS.state("box"):
                self.reports += decode_report(event.payload, "box").models

    def states(self) -> list[str]:
        """Every state that was reported, repetitions left out."""
        said = [each.state.value for each in self.reports]
        return [state for number, state in enumerate(said) if number == 0 or said[number - 1] != state]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "registry")
    yield made
    made.stop.set()
    made.thread.join(60)


def until(world: World, wait_until, state: str, version: str) -> None:
    def there() -> bool:
        world.turn()
        last = world.reports[-1] if world.reports else None
        return last is not None and (last.state.value, last.version) == (state, version)

    wait_until(there, f"{version} is {state}")


def test_it_passes_the_states_of_a_device_and_reports_each(world, wait_until):
    world.want("1", 1)
    until(world, wait_until, "ACTIVE", "1")
    way = "OFFERED WAITING_WINDOW SEEDING DOWNLOADING VERIFYING STAGED ACTIVATING PROBATION ACTIVE"
    assert world.states() == way.split()
    last = world.reports[-1]
    assert (last.serving_version, last.chunks_have) == ("1", last.chunks_total)
    assert SIZE < last.bytes_received < 1.1 * SIZE
    assert last.bytes_resent == last.chunks_bad == 0


def test_a_version_that_it_was_told_to_fail_leaves_the_old_one_serving(world, wait_until):
    world.want("1", 1)
    until(world, wait_until, "ACTIVE", "1")
    world.want("2", 2)
    until(world, wait_until, "FAILED", "2")
    last = world.reports[-1]
    assert (last.serving_version, last.code) == ("1", "golden-mismatch")
    assert last.chunks_seeded > 0
    # It fetched what is new, and took the rest from what it has.
    assert last.bytes_received < 1.5 * SIZE


def test_only_a_trusted_seal_and_a_higher_number_are_obeyed(world, wait_until):
    world.want("1", 5)
    until(world, wait_until, "ACTIVE", "1")
    before = len(world.reports)
    world.want("2", 6, key=STRANGER)
    world.want("2", 5)
    for _ in range(50):
        world.turn()
    assert len(world.reports) == before
    assert world.device.held["model"].offer.version == "1"


def test_a_manifest_that_is_not_the_named_one_is_refused(world, wait_until):
    wrong = Digest("0" * 64)
    sealed = world.store.get_sealed(world.artifacts["1"])
    world.operator.publish(TOPICS.manifest(wrong), sealed, qos=1, retain=True)
    world.want("1", 1, artifact=wrong)
    until(world, wait_until, "REJECTED", "1")
    assert world.reports[-1].code == "manifest-mismatch"
    assert world.depot.counters.frames == 0


def test_what_came_before_the_network_went_is_not_fetched_again(world, wait_until):
    held = threading.Event()
    go_on = threading.Event()

    def cut(number: int) -> None:
        if number == 2:  # the index and one frame of chunks are through
            held.set()
            go_on.wait(60)

    world.at_frame = cut
    world.device._fetch._max_frame_bytes = 32 * 1024
    world.want("1", 1)
    wait_until(lambda: world.turn() or held.is_set(), "the depot holds a frame back")
    for _ in range(20):
        world.turn()
    world.device.close()
    got = world.device._fetch.received
    assert got > 0
    go_on.set()
    for _ in range(20):
        world.turn()
    assert world.device.is_open is False
    world.device.open(MemoryLink(world.broker))
    until(world, wait_until, "ACTIVE", "1")
    last = world.reports[-1]
    assert last.bytes_received - last.bytes_resent < 1.1 * SIZE
    assert last.bytes_resent <= 2 * 64 * 1024  # at most a window that was under way
