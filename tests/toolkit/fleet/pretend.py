"""A site without machines: keys, a broker in memory, and devices that answer desired states with reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from queue import Empty

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.errors import IntegrityError
from toolkit.fleet.prometheus import Figures
from toolkit.fleet.reports import Watch
from toolkit.fleet.steer import Steering
from toolkit.link.link import Arrived, Link
from toolkit.link.memory_link import MemoryBroker, MemoryLink
from toolkit.protocol.waves import order_of
from toolkit.wire.desired import Desired, DesiredModel, decode_desired
from toolkit.wire.digest import digest_of
from toolkit.wire.document import encode_json
from toolkit.wire.keyring import Keyring, TrustedKey
from toolkit.wire.report import ModelReport, Presence, Report, Served
from toolkit.wire.rollout import Rollout, RolloutSpec, Wave
from toolkit.wire.signature import seal, unseal
from toolkit.wire.states import InstallState
from toolkit.wire.topics import Topics

TOPICS = Topics("north")
KEY = Ed25519PrivateKey.generate()
STRANGER = Ed25519PrivateKey.generate()
KEYRING = Keyring(
    keys=(TrustedKey(public=KEY.public_key().public_bytes_raw(), roles=("operator", "registry")),)
)
OLD, NEW = digest_of(b"version 1"), digest_of(b"version 2")


def intent(
    name: str = "digits-2", devices: Iterable[str] = ("a", "b", "c", "d"), **changes: object
) -> Rollout:
    """A rollout of digits 2 over four devices in waves of 1, 2 and 4."""
    names = tuple(devices)
    fields: dict[str, object] = {"action": "run", "number": 1, "seq": 1}
    outer = {key: changes.pop(key, value) for key, value in fields.items()}
    reach = sorted({1, min(2, len(names)), len(names)})
    spec = {
        "model": "digits",
        "version": "2",
        "artifact": NEW,
        "devices": order_of(name, names),
        "waves": tuple(Wave(devices=each) for each in reach),
        "previous_version": "1",
        "previous_artifact": OLD,
        **changes,
    }
    return Rollout(name=name, spec=RolloutSpec(**spec), **outer)


def publish(link: Link, rollout: Rollout, key: Ed25519PrivateKey = KEY) -> None:
    link.publish(TOPICS.rollout(rollout.name), seal(encode_json(rollout), "rollout", key), qos=1, retain=True)


def publish_desired(
    link: Link,
    device: str,
    models: tuple[DesiredModel, ...],
    *,
    seq: int = 1,
    fence: int = 1,
    key: Ed25519PrivateKey = KEY,
) -> None:
    desired = Desired(device=device, seq=seq, fence=fence, models=models)
    link.publish(TOPICS.desired(device), seal(encode_json(desired), "desired", key), qos=1, retain=True)


def entry(
    model: str = "digits", version: str = "1", artifact: str = OLD, rollout: str = "first"
) -> DesiredModel:
    return DesiredModel(model=model, version=version, artifact=artifact, rollout=rollout)


@dataclass
class Device:
    """A device by the book: obeys the highest number under a trusted seal, and reports. `refuses` are artifacts."""

    name: str
    link: Link
    topics: Topics = TOPICS
    keyring: Keyring = KEYRING
    refuses: set[str] = field(default_factory=set)
    refuses_versions: set[str] = field(default_factory=set)
    served: Served = field(default_factory=Served)
    """What its requests came to."""
    words: str = "output y is off by 0.9"
    """Its reason, when it refuses."""
    deaf: bool = False
    """Takes desired states and says nothing."""
    obeyed: list[Desired] = field(default_factory=list)
    seen: list[Desired] = field(default_factory=list)
    serving: dict[str, str] = field(default_factory=dict)
    seq: int = 0

    def start(self) -> Device:
        self.link.subscribe(self.topics.desired(self.name), qos=1)
        self.link.connect()
        presence = encode_json(Presence(device=self.name, state="online"))
        self.link.publish(self.topics.presence(self.name), presence, qos=1, retain=True)
        return self

    def turn(self) -> None:
        """Take all that has come."""
        while True:
            try:
                event = self.link.events.get_nowait()
            except Empty:
                return
            if isinstance(event, Arrived) and event.topic == self.topics.desired(self.name) and event.payload:
                self._take(event.payload)

    def _take(self, payload: bytes) -> None:
        try:
            desired = decode_desired(unseal(payload, "desired", self.keyring, what="desired"), self.name)
        except IntegrityError:
            return
        if desired not in self.seen:
            self.seen.append(desired)
        last = self.obeyed[-1] if self.obeyed else None
        if last is not None and (desired.seq <= last.seq or desired.fence < last.fence):
            return
        self.obeyed.append(desired)
        if not self.deaf:
            self.report(desired)

    def report(self, desired: Desired) -> None:
        self.seq += 1
        named = {each.model for each in desired.models}
        self.serving = {model: version for model, version in self.serving.items() if model in named}
        models = tuple(self._answer(each) for each in desired.models)
        report = Report(device=self.name, seq=self.seq, desired_seq=desired.seq, models=models)
        self.link.publish(self.topics.state(self.name), encode_json(report), qos=1, retain=True)

    def _answer(self, wanted: DesiredModel) -> ModelReport:
        refused = wanted.artifact in self.refuses or wanted.version in self.refuses_versions
        if not refused:
            self.serving[wanted.model] = wanted.version
        return ModelReport(
            model=wanted.model,
            state=InstallState.FAILED if refused else InstallState.ACTIVE,
            version=wanted.version,
            artifact=wanted.artifact,
            rollout=wanted.rollout,
            serving_version=self.serving.get(wanted.model, ""),
            served=self.served if not refused else Served(),
            code="golden-mismatch" if refused else "",
            reason=self.words if refused else "",
        )


@dataclass
class World:
    """A broker in memory with devices, and an operator's link that says what the tests want said."""

    broker: MemoryBroker = field(default_factory=MemoryBroker)
    devices: dict[str, Device] = field(default_factory=dict)
    now: float = 0.0
    wall: float = 1_000.0

    def __post_init__(self) -> None:
        self.operator = self.connected()

    def connected(self) -> MemoryLink:
        link = MemoryLink(self.broker)
        link.connect()
        return link

    def add(self, *names: str) -> None:
        for name in names:
            self.devices[name] = Device(name, MemoryLink(self.broker)).start()

    def driver(self, name: str = "steer", figures: Figures | None = None) -> Steering:
        """A driver that has collected everything."""
        self.wall += 1
        driver = Steering(
            MemoryLink(self.broker), TOPICS, KEY, KEYRING, name=name, clock=lambda: self.wall, quiet_seconds=0,
            figures=figures,
        )  # fmt: skip
        driver.begin()
        driver.watch.link.connect()
        return driver

    def watch(self, name: str = "watch", keyring: Keyring | None = KEYRING) -> Watch:
        watch = Watch(MemoryLink(self.broker), TOPICS, keyring, name=name, quiet_seconds=0)
        watch.begin()
        watch.link.connect()
        watch.settle()
        return watch

    def turn(self, *drivers: Steering, seconds: float = 0.0) -> None:
        """Let time pass, then let every driver and every device take what has come, once."""
        self.now += seconds
        for driver in drivers:
            feed(driver)
            driver.tick(self.now)
        for device in self.devices.values():
            device.turn()

    def until_quiet(self, *drivers: Steering, seconds: float = 0.0) -> None:
        """Take turns until nobody has anything to say."""
        for _ in range(50):
            before = (
                [len(device.seen) for device in self.devices.values()],
                [stands(d) for d in drivers],
            )
            self.turn(*drivers, seconds=seconds)
            after = (
                [len(device.seen) for device in self.devices.values()],
                [stands(d) for d in drivers],
            )
            if before == after and all(driver.watch.link.events.empty() for driver in drivers):
                return
        raise AssertionError("after 50 turns somebody still talks")

    def versions(self) -> dict[str, str]:
        return {name: device.serving.get("digits", "") for name, device in self.devices.items()}


def stands(driver: Steering) -> dict[str, tuple[object, ...]]:
    """Where its rollouts stand, without the times."""
    return {
        name: (each.state, each.wave, each.told, each.active, each.soak_since)
        for name, each in driver.progress.items()
    }


def feed(driver: Steering) -> None:
    while True:
        try:
            driver.handle(driver.watch.link.events.get_nowait())
        except Empty:
            return


def said_by(link: Link, wanted: Callable[[Arrived], bool]) -> list[Arrived]:
    """All messages that a link has received so far and that are wanted."""
    found = []
    while True:
        try:
            event = link.events.get_nowait()
        except Empty:
            return found
        if isinstance(event, Arrived) and wanted(event):
            found.append(event)
