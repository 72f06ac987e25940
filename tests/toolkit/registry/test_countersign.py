"""A plan gets the registry’s seal when builder, model, bytes and golden result are right; else nothing is left."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.toolkit.registry.making import Site, make_model
from toolkit.cli import main
from toolkit.errors import GateRefusedError, IntegrityError, RegistryError, SignatureError
from toolkit.registry.catalogue import open_artifact
from toolkit.registry.countersign import STATEMENT_FILE, countersign
from toolkit.registry.keys import make_key, make_keyring, read_key, write_keyring
from toolkit.registry.push import PushRequest, push
from toolkit.wire.digest import digest_of
from toolkit.wire.document import encode_json
from toolkit.wire.keyring import Keyring
from toolkit.wire.manifest import Range, Requires
from toolkit.wire.plan import PLAN_FILE, BuiltPlan, GoldenResult, PlanFor, PlanMachine
from toolkit.wire.signature import seal

PLAN = b"TIERS-PLAN" + bytes(range(256)) * 1000
MACHINE = PlanMachine(
    settings="0123456789abcdef", tensorrt="10.3.0.30", capability="8.7", gpu="Orin", device_model="Jetson Orin NX",
    l4t="36.4.3", driver=12060, architecture="aarch64",
)  # fmt: skip


@dataclass
class House:
    """A registry with a model, a builder, and what it sends."""

    site: Site
    builder: Ed25519PrivateKey
    keyring: Keyring
    built: BuiltPlan
    folder: Path

    def send(self, data: bytes = PLAN, key: Ed25519PrivateKey | None = None, **changes: object) -> Path:
        built = msgspec.structs.replace(self.built, **changes)
        self.folder.mkdir(exist_ok=True)
        (self.folder / PLAN_FILE).write_bytes(data)
        (self.folder / STATEMENT_FILE).write_bytes(seal(encode_json(built), "plan", key or self.builder))
        return self.folder

    def refs(self) -> list[str]:
        return list(self.site.store.list_refs("plans/"))


@pytest.fixture
def house(site: Site, tmp_path: Path) -> House:
    model, golden = make_model(tmp_path / "model", width=200)
    requires = Requires(tensorrt=Range(at_least="10.3"), compute_capabilities=("8.7",), p95_seconds=0.5)
    request = PushRequest(model, golden, "small", "1", min_accuracy=0.9, requires=requires)
    pushed = push(site.store, request, site.key)
    pair, own = make_key(tmp_path / "builder.pem"), make_key(tmp_path / "own.pem")
    keyring = make_keyring({"builder": [pair], "registry": [own]})
    keyring = Keyring(keys=(*keyring.keys, *site.keyring.keys))
    built = BuiltPlan(
        builder="us-001",
        name="small",
        version="1",
        made_for=PlanFor(artifact=pushed.artifact, model="ab" * 32, machine=MACHINE),
        plan=digest_of(PLAN),
        plan_bytes=len(PLAN),
        golden=GoldenResult(examples=8, worst_difference=2e-4, accuracy=1.0, p95_seconds=0.01),
    )
    return House(site, read_key(pair.file), keyring, built, tmp_path / "sent")


def test_a_plan_becomes_an_artifact_that_says_what_it_is_for(house: House) -> None:
    done = countersign(house.site.store, house.send(), house.keyring, house.site.key)
    assert house.refs() == [f"plans/small/1/{MACHINE.key}"]
    found = open_artifact(house.site.store, done.artifact, house.site.keyring)
    assert found.manifest.plan == house.built.made_for
    assert (found.manifest.kind, found.manifest.format, found.manifest.total_bytes) == ("plan", 3, len(PLAN))
    index = house.site.store.get_index(found.manifest.index)
    assert [entry.path for entry in index.entries] == [PLAN_FILE.encode()]
    assert not house.site.store.missing(ref.digest for entry in index.entries for ref in entry.refs())
    again = countersign(house.site.store, house.send(), house.keyring, house.site.key)
    assert (again.repeated, again.artifact) == (True, done.artifact)
    data = PLAN + b"!"
    house.built = msgspec.structs.replace(house.built, plan=digest_of(data), plan_bytes=len(data))
    with pytest.raises(RegistryError, match="another plan for these machines"):
        countersign(house.site.store, house.send(data), house.keyring, house.site.key)


def test_one_machine_that_differs_is_another_place(house: House) -> None:
    countersign(house.site.store, house.send(), house.keyring, house.site.key)
    other = msgspec.structs.replace(MACHINE, gpu="Orin Nano")
    made_for = msgspec.structs.replace(house.built.made_for, machine=other)
    countersign(house.site.store, house.send(made_for=made_for), house.keyring, house.site.key)
    assert len(house.refs()) == 2


def of(**changes: object) -> dict[str, object]:
    return changes


@pytest.mark.parametrize(
    ("error", "says", "plan", "changes"),
    [
        (IntegrityError, "not the plan that us-001 has sealed", PLAN[:-1] + b"x", {}),
        (IntegrityError, "not the plan that us-001 has sealed", PLAN[:-1], {}),
        (IntegrityError, "speaks of a plan of 0 bytes", PLAN, of(plan_bytes=0)),
        (IntegrityError, "golden result that cannot be", PLAN, of(golden=GoldenResult(examples=0, worst_difference=0))),
        (RegistryError, "has no version 2 of small", PLAN, of(version="2")),
        (GateRefusedError, "demands 0.9", PLAN, of(golden=GoldenResult(examples=8, worst_difference=0, accuracy=0.8))),
        (GateRefusedError, "takes 0.7 s", PLAN,
         of(golden=GoldenResult(examples=8, worst_difference=0, accuracy=1, p95_seconds=0.7))),
    ],
)  # fmt: skip
def test_what_is_not_right_leaves_nothing_behind(house: House, error, says, plan, changes) -> None:
    with pytest.raises(error, match=says):
        countersign(house.site.store, house.send(plan, **changes), house.keyring, house.site.key)
    assert house.refs() == []


@pytest.mark.parametrize("machine", [{"tensorrt": "8.6.0"}, {"capability": "8.6"}])
def test_machines_that_the_model_is_not_for_are_refused(house: House, machine) -> None:
    made_for = msgspec.structs.replace(
        house.built.made_for, machine=msgspec.structs.replace(MACHINE, **machine)
    )
    with pytest.raises(GateRefusedError, match="does not allow machines"):
        countersign(house.site.store, house.send(made_for=made_for), house.keyring, house.site.key)


def test_a_plan_of_another_artifact_of_that_name_is_refused(house: House) -> None:
    made_for = msgspec.structs.replace(house.built.made_for, artifact="c" * 64)
    with pytest.raises(IntegrityError, match="was made of artifact cccccccccccc"):
        countersign(house.site.store, house.send(made_for=made_for), house.keyring, house.site.key)


def test_only_a_builder_may_speak_of_plans(house: House) -> None:
    for key in (house.site.key, Ed25519PrivateKey.generate()):
        with pytest.raises(SignatureError, match="not trusted as builder"):
            countersign(house.site.store, house.send(key=key), house.keyring, house.site.key)
    folder = house.send()
    (folder / STATEMENT_FILE).write_bytes(seal(encode_json(house.built), "manifest", house.builder))
    with pytest.raises(SignatureError, match="sealed as a manifest, not as a plan"):
        countersign(house.site.store, folder, house.keyring, house.site.key)
    (folder / STATEMENT_FILE).unlink()
    with pytest.raises(RegistryError, match=r"built\.json cannot be read"):
        countersign(house.site.store, folder, house.keyring, house.site.key)


def test_the_command_prints_what_it_did(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    ring = house.site.folder / "ring.json"
    write_keyring(ring, house.keyring)
    key = house.site.folder / "keys" / "site.pem"
    registry = (house.site.folder / "registry").as_uri()
    command = ["model", "countersign", str(house.send()), "--key", str(key), "--keyring", str(ring)]
    assert main([*command, "--registry", registry, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["machine"], said["builder"], said["repeated"]) == (MACHINE.key, "us-001", False)
    assert main(["model", "show", "small@1", "--registry", registry, "--json"]) == 0
    (plan,) = json.loads(capsys.readouterr().out)["plans"]
    assert (plan["machine"]["gpu"], plan["artifact"]) == ("Orin", house.built.made_for.artifact)
    assert plan["key"] == MACHINE.key
    assert main(["model", "show", "small@1", "--registry", registry]) == 0
    assert f"Orin, TensorRT 10.3.0.30, machines {MACHINE.key}" in capsys.readouterr().out
    (house.folder / PLAN_FILE).write_bytes(b"other")
    assert main([*command, "--registry", registry]) == 6
    assert "tiers inbox get" in capsys.readouterr().err


def test_a_plan_is_taken_back_by_the_key_that_show_lists(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    countersign(house.site.store, house.send(), house.keyring, house.site.key)
    registry = ["--registry", (house.site.folder / "registry").as_uri(), "--json"]
    for was_there in (True, False):
        assert main(["model", "withdraw-plan", "small@1", MACHINE.key, *registry]) == 0
        assert json.loads(capsys.readouterr().out)["was_there"] is was_there
    assert house.refs() == []
    data = PLAN + b"!"
    house.built = msgspec.structs.replace(house.built, plan=digest_of(data), plan_bytes=len(data))
    countersign(house.site.store, house.send(data), house.keyring, house.site.key)
    for arguments, said in (
        (("small@1", "../1"), "is no key of machines"),
        (("small", MACHINE.key), "is not NAME@VERSION"),
    ):
        assert main(["model", "withdraw-plan", *arguments, *registry]) == 2
        assert said in capsys.readouterr().err
    assert main(["model", "withdraw-plan", "../x@1", MACHINE.key, *registry]) != 0
    assert len(house.refs()) == 1
