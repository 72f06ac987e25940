"""A device takes a patch when it is shorter, and comes to the same end when the patch does not help."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from tests.edge_runtime.conftest import TOPICS, Depot, Device, Keys, Made
from tests.edge_runtime.faults.ledger import MUCH, paced
from tests.edge_runtime.patches import Patched, make_patched
from toolkit.wire.manifest import Makes, Manifest
from toolkit.wire.report import ModelReport

pytestmark = pytest.mark.broker


@pytest.fixture
def pair(keys: Keys) -> Patched:
    return make_patched(keys)


@pytest.fixture
def ready(depot: Depot, device: Device, pair: Patched) -> Device:
    """A device that serves the base. Nothing is lost on its way, so that no byte comes twice."""
    device.start(*paced(MUCH))
    depot.offer(pair.base)
    depot.wait_for_state("ACTIVE", "v1")
    return device


def offer(depot: Depot, pair: Patched, *, patch: Made | None = None, with_manifest: bool = True) -> None:
    patch = patch or pair.patch
    depot.made[patch.artifact] = patch
    if with_manifest:
        depot.publish(TOPICS.manifest(patch.artifact), patch.sealed)
    depot.offer(pair.target, rollout="r2")


def stored(made: Made) -> int:
    return sum(map(len, made.stored.values()))


def arrived(depot: Depot, device: Device, pair: Patched) -> ModelReport:
    """Wait until the target serves, and compare its files."""
    report = depot.wait_for_state("ACTIVE", "v2")
    folder = device.state / "versions" / pair.target.artifact
    assert {name: (folder / name).read_bytes() for name in pair.files} == pair.files
    assert report.chunks_have == report.chunks_total
    assert pair.patch.artifact not in {path.name for path in (device.state / "parts").iterdir()}
    return report


def test_when_all_weights_drift_a_patch_brings_the_version(
    depot: Depot, ready: Device, pair: Patched
) -> None:
    offer(depot, pair)
    report = arrived(depot, ready, pair)
    assert not depot.chunks_sent(pair.target), "every chunk was made here"
    assert report.chunks_patched + report.chunks_seeded == report.chunks_total
    assert report.patch_problem == ""
    assert report.bytes_received == stored(pair.patch) + len(pair.patch.index) + len(pair.target.index)
    assert report.bytes_received < 0.45 * stored(pair.target)
    assert ready.infer([1, 0, 0, 0])[0] == "v2"
    received = [
        model.bytes_received for each in depot.history for model in each.models if model.version == "v2"
    ]
    assert received[-1] == report.bytes_received


def spoil_base(device: Device, pair: Patched) -> None:
    model = device.state / "versions" / pair.base.artifact / "model.onnx"
    data = bytearray(model.read_bytes())
    data[200_000] ^= 0x40
    model.write_bytes(data)


def fell_back(depot: Depot, device: Device, pair: Patched, why: str) -> ModelReport:
    """Wait until the version came by its chunks, and the report says why the patch did not help."""
    report = arrived(depot, device, pair)
    assert depot.chunks_sent(pair.target)
    assert why in report.patch_problem
    return report


def test_a_base_that_has_rotted_costs_the_chunks_that_it_spoils(
    depot: Depot, ready: Device, pair: Patched
) -> None:
    spoil_base(ready, pair)
    offer(depot, pair)
    report = fell_back(depot, ready, pair, "others than the index names")
    assert report.bytes_received > stored(pair.patch)
    assert (
        report.chunks_patched + len(set(depot.chunks_sent(pair.target))) + report.chunks_seeded
        == report.chunks_total
    )


def test_a_patch_that_makes_noise_changes_nothing(
    depot: Depot, ready: Device, pair: Patched, keys: Keys
) -> None:
    def patch_of(manifest: Manifest) -> Manifest:
        makes = Makes(base=pair.base.artifact, index=pair.target.manifest.index)
        return msgspec.structs.replace(
            manifest, kind="patch", model_file="", golden=None, makes=makes, format=0
        )

    noise = keys.make("v2", {"patch": b"TDP1" + bytes(range(256)) * 9}, change=patch_of)
    (named,) = pair.target.manifest.patches
    named = msgspec.structs.replace(named, artifact=noise.artifact)
    target = keys.make(
        "v2", pair.files, change=lambda m: msgspec.structs.replace(m, patches=(named,), format=0)
    )
    lying = Patched(pair.base, target, noise, pair.files)
    offer(depot, lying)
    fell_back(depot, ready, lying, "a patch")


def test_a_patch_under_another_seal_is_not_fetched(depot: Depot, ready: Device, pair: Patched) -> None:
    forged = msgspec.json.decode(pair.patch.sealed)
    forged["signatures"] = []
    depot.publish(TOPICS.manifest(pair.patch.artifact), msgspec.json.encode(forged))
    offer(depot, pair, with_manifest=False)
    fell_back(depot, ready, pair, "manifest of a patch")
    assert not depot.chunks_sent(pair.patch)


def test_a_depot_with_another_patch_is_no_reason_to_wait(depot: Depot, ready: Device, pair: Patched) -> None:
    offer(depot, pair)
    # The depot's index of the patch is another's: three times the wrong one, then the device does without.
    depot.made[pair.patch.artifact] = replace(pair.patch, index=bytes(len(pair.patch.index)))
    fell_back(depot, ready, pair, "index")
    assert not depot.chunks_sent(pair.patch)


def test_chunks_of_a_patch_that_come_damaged_are_asked_for_again(
    depot: Depot, ready: Device, pair: Patched
) -> None:
    spoiled: list[int] = []

    def damage(artifact: str, number: int, stored: bytes) -> bytes:
        if artifact != pair.patch.artifact or number in spoiled or len(spoiled) > 2:
            return stored
        spoiled.append(number)
        return stored[:-1] + bytes([stored[-1] ^ 1])

    depot.damage = damage
    offer(depot, pair)
    report = arrived(depot, ready, pair)
    assert report.chunks_bad == len(spoiled) == 3
    assert not depot.chunks_sent(pair.target)


def test_a_kill_in_the_middle_of_a_patch_costs_a_batch(depot: Depot, ready: Device, pair: Patched) -> None:
    depot.pause_after(len(pair.patch.chunks) // 2)
    offer(depot, pair)
    assert depot.reached_limit.wait(120)
    before = depot.wait_for(lambda model: model.version == "v2" and model.bytes_received > 100_000)
    assert (before.state.value, before.chunks_patched) == ("SEEDING", 0)
    ready.kill()
    depot.resume()
    ready.start()
    report = arrived(depot, ready, pair)
    assert not depot.chunks_sent(pair.target)
    assert report.bytes_received >= stored(pair.patch)


FAULTS = [pytest.param(each, marks=pytest.mark.faults) for each in ("chunks", "part", "delete", "forget")]


@pytest.mark.parametrize("write", ["bitmap", *FAULTS])
def test_a_kill_on_either_side_of_a_write_while_seeding_is_made_good(
    depot: Depot, ready: Device, pair: Patched, write: str
) -> None:
    ready.stop()
    for side in ("before", "after"):
        # Held again and again: in the fetch of the patch, in its replay, and when it is dropped.
        ready.start("--hold", f"{write}:{side}")
        if side == "before":
            offer(depot, pair)
        assert ready.held() == f"{write}:{side}"
        ready.kill()
    ready.start()
    arrived(depot, ready, pair)
