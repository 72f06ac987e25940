"""What the depot announces of plans is what the registry holds: new ones soon, those taken back never longer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.toolkit.registry.making import Site
from toolkit.errors import RemoteUnavailableError
from toolkit.fleet.plan_board import LOOK_SECONDS, PlanBoard
from toolkit.link.link import Arrived
from toolkit.registry.catalogue import open_artifact
from toolkit.registry.countersign import STATEMENT_FILE, Countersigned, countersign, withdraw
from toolkit.registry.keys import make_key, make_keyring, read_key
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.ref import Ref
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.document import encode_json
from toolkit.wire.keyring import Keyring
from toolkit.wire.plan import PLAN_FILE, BuiltPlan, GoldenResult, PlanFor, PlanMachine
from toolkit.wire.signature import seal
from toolkit.wire.topics import Topics

TOPICS = Topics("north")
MACHINE = PlanMachine(
    settings="0123456789abcdef", tensorrt="10.3.0", capability="8.7", gpu="Orin", device_model="Jetson Orin NX",
    l4t="36.4.3", driver=12060, architecture="aarch64",
)  # fmt: skip


@dataclass
class Broker:
    """A link that only keeps what is retained, and brings it back as a broker does."""

    retained: dict[str, bytes] = field(default_factory=dict)
    count: int = 0

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        assert (qos, retain) == (1, True)
        self.count += 1
        self.retained[topic] = payload
        if not payload:
            del self.retained[topic]


@dataclass
class House:
    """A registry with a model, a board, and what it has announced."""

    site: Site
    folder: Path
    now: float = 100.0
    away: bool = False
    asked: list[bool] = field(default_factory=list)
    """Whether the registry answered, each time that it was asked."""

    def __post_init__(self) -> None:
        self.model = self.site.push(version="1", width=200).artifact
        pair = make_key(self.folder / "builder.pem")
        self.builder = read_key(pair.file)
        self.keyring = Keyring(keys=(*make_keyring({"builder": [pair]}).keys, *self.site.keyring.keys))
        self.broker = Broker()
        self.board = self.another_board()

    def another_board(self) -> PlanBoard:
        return PlanBoard(self.broker, TOPICS, self._registry, self.site.keyring)

    def _registry(self) -> PackStore:
        self.asked.append(not self.away)
        if self.away:
            raise RemoteUnavailableError("the registry is away")
        return self.site.store

    def sign(self, machine: PlanMachine = MACHINE, data: bytes = b"a plan") -> Countersigned:
        folder = self.folder / "sent"
        folder.mkdir(exist_ok=True)
        built = BuiltPlan(
            builder="us-001",
            name=self.name,
            version="1",
            made_for=PlanFor(artifact=self.model, model="ab" * 32, machine=machine),
            plan=digest_of(data),
            plan_bytes=len(data),
            golden=GoldenResult(examples=8, worst_difference=0.0, accuracy=1.0),
        )
        (folder / PLAN_FILE).write_bytes(data)
        (folder / STATEMENT_FILE).write_bytes(seal(encode_json(built), "plan", self.builder))
        return countersign(self.site.store, folder, self.keyring, self.site.key)

    @property
    def name(self) -> str:
        return open_artifact(self.site.store, self.model, self.site.keyring).manifest.name

    def look(self, *artifacts: Digest) -> dict[str, bytes]:
        self.now += LOOK_SECONDS
        self.round(*artifacts)
        return self.broker.retained

    def round(self, *artifacts: Digest, later: float = 0.0) -> None:
        """Let a round end, if one is due: each call does one thing."""
        for _ in range(10):
            self.board.look(artifacts or (self.model,), self.now + later)

    def sealed(self, artifact: Digest) -> bytes:
        return self.site.store.get_sealed(artifact)


@pytest.fixture
def house(site: Site, tmp_path: Path) -> House:
    return House(site, tmp_path)


def test_a_plan_is_announced_once_for_its_machines_as_the_registry_holds_it(house: House) -> None:
    assert house.look() == {}
    done, other = house.sign(), house.sign(msgspec.structs.replace(MACHINE, gpu="Orin Nano"), b"another")
    expected = {TOPICS.plan(house.model, each.machine): house.sealed(each.artifact) for each in (done, other)}
    assert house.look() == expected
    assert TOPICS.plan_of(TOPICS.plan(house.model, done.machine)) == (house.model, done.machine)
    house.look()
    assert house.broker.count == 2
    house.board.forget()
    house.broker.retained.clear()
    assert house.look() == expected, "the broker had lost it"


def test_it_looks_as_often_as_it_says_and_sooner_for_another_rollout(house: House) -> None:
    house.look()
    house.sign()
    house.round(later=LOOK_SECONDS - 1)
    assert house.broker.count == 0
    house.board.look_soon()
    house.round(later=LOOK_SECONDS - 1)
    assert house.broker.count == 1


def test_one_call_does_one_thing(house: House) -> None:
    house.sign()
    second = house.site.push(version="2", width=200).artifact
    house.away = True
    asked = len(house.asked)
    for number in (1, 2):
        house.board.look((house.model, second), house.now)
        assert len(house.asked) == asked + number
    house.board.look((house.model, second), house.now)
    assert len(house.asked) == asked + 2, "the round is over"


def test_one_that_is_taken_back_is_cleared_also_by_a_depot_that_never_announced_it(house: House) -> None:
    done = house.sign()
    house.look()
    assert withdraw(house.site.store, house.name, "1", done.machine)
    assert not withdraw(house.site.store, house.name, "1", done.machine)
    topic, before = TOPICS.plan(house.model, done.machine), dict(house.broker.retained)
    assert house.look() == {}
    house.broker.retained.update(before)
    house.board = house.another_board()
    assert house.board.take(Arrived(topic, before[topic]))
    assert house.look(digest_of(b"no rollout names it")) == {}
    again = house.sign(data=b"another plan")
    assert house.look() == {topic: house.sealed(again.artifact)}


def test_what_somebody_else_put_there_goes(house: House) -> None:
    done = house.sign()
    forged = seal(b"{}", "manifest", Ed25519PrivateKey.generate())
    for topic, payload in (
        (TOPICS.plan(house.model, "ab" * 16), forged),
        (TOPICS.plan(house.model, "cd" * 16), house.sealed(done.artifact)),
        (TOPICS.plan("ef" * 32, done.machine), house.sealed(done.artifact)),
    ):
        house.broker.retained[topic] = payload
        assert house.board.take(Arrived(topic, payload))
    assert house.look() == {TOPICS.plan(house.model, done.machine): house.sealed(done.artifact)}


def test_a_registry_that_is_away_takes_nothing_back(house: House) -> None:
    house.sign()
    before = dict(house.look())
    house.away = True
    assert house.look() == before
    assert house.broker.count == 1


def test_a_ref_that_leads_elsewhere_keeps_nobody_from_the_others(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    done = house.sign()
    wrong = f"plans/{house.name}/1/{'0' * 32}"
    house.site.store.write_ref(wrong, Ref(kind="manifest", digest=house.model))
    house.site.store.write_ref(f"{wrong[:-1]}1", Ref(kind="manifest", digest=digest_of(b"gone")))
    house.site.store.write_ref(f"{wrong[:-1]}2", Ref(kind="manifest", digest=done.artifact))
    assert list(house.look()) == [TOPICS.plan(house.model, done.machine)]
    house.look()
    assert sum("leads to something else" in line for line in caplog.messages) == 2
    assert sum("is not there" in line for line in caplog.messages) == 1


def test_other_topics_are_left_to_others(house: House) -> None:
    for topic in (
        TOPICS.rollout("spring"),
        TOPICS.manifest(house.model),
        f"{TOPICS.root}/p/{house.model}",
        "p",
    ):
        assert not house.board.take(Arrived(topic, b"x"))
