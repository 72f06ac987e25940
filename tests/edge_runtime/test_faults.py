"""Everything that may be wrong with a version or its way here: it is seen, said, and what served before goes on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.edge_runtime.conftest import TOPICS
from tests.edge_runtime.faults.ledger import MUCH, paced
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef, Entry, pack_refs
from toolkit.wire.manifest import Requires

pytestmark = pytest.mark.broker
change = msgspec.structs.replace


@pytest.fixture
def serving(depot, device, keys):
    """A device that serves v1. Nothing is lost on its way, so that nothing is asked for twice but what is bad."""
    device.start(*paced(MUCH))
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")
    return device


def assert_v1_serves(device) -> None:
    assert device.infer([1, 0, 0, 0]) == ("v1", [0.0, 1.0, 2.0])


def ballast(size: int) -> bytes:
    return np.random.default_rng(3).bytes(size)


# ---------------------------------------------------------------- bytes
def test_a_chunk_that_is_damaged_on_the_way_is_counted_and_asked_for_again(serving, depot, keys) -> None:
    made = keys.model("v2", ballast=ballast(500_000))
    lies = [5]

    def damage(_artifact: str, number: int, stored: bytes) -> bytes:
        if number in lies:
            lies.remove(number)
            return stored[:-1] + bytes([stored[-1] ^ 1])
        return stored

    depot.damage = damage
    depot.offer(made)
    report = depot.wait_for_state("ACTIVE", "v2")
    assert report.chunks_bad == 1
    assert depot.chunks_sent(made).count(5) == 2
    assert serving.infer([1, 0, 0, 0])[0] == "v2"
    states = [model.state.value for each in depot.history for model in each.models if model.version == "v2"]
    assert "SEEDING" not in states[states.index("VERIFYING") :], (
        "it was seen when it came, not only at the end"
    )


def test_a_depot_that_lies_every_time_fails_the_version_and_names_the_chunk(serving, depot, keys) -> None:
    made = keys.model("v2", ballast=ballast(500_000))
    depot.damage = lambda _, number, stored: b"\x00lie" if number == 5 else stored
    depot.offer(made)
    report = depot.wait_for_state("FAILED", "v2")
    assert report.code == "chunk-damaged"
    assert made.chunks[5].digest[:12] in report.reason
    assert depot.chunks_sent(made).count(5) == 3
    assert_v1_serves(serving)


def test_a_stored_chunk_that_rots_is_found_before_it_is_used_and_fetched_again(device, depot, keys) -> None:
    made = keys.model("v1", ballast=ballast(500_000))
    depot.offer(made)
    device.start(*paced(MUCH), "--hold", "VERIFYING")
    assert device.held() == "VERIFYING"
    device.kill()
    part = device.state / "parts" / made.artifact
    place = sum(chunk.size for chunk in made.chunks[:7]) + 3
    data = bytearray(part.read_bytes())
    data[place] ^= 0xFF
    part.write_bytes(data)
    sent = len(depot.chunks_sent(made))

    device.start(*paced(MUCH))
    report = depot.wait_for_state("ACTIVE", "v1")
    assert depot.chunks_sent(made)[sent:] == [7]
    assert report.chunks_bad == 1
    assert_v1_serves(device)


# ---------------------------------------------------------------- documents
def test_a_manifest_that_a_stranger_signed_is_rejected_before_anything_is_fetched(
    serving, depot, keys
) -> None:
    files = {"model.onnx": b"anything"}
    made = keys.make("v2", files, key=Ed25519PrivateKey.generate())
    depot.offer(made)
    report = depot.wait_for_state("REJECTED", "v2")
    assert report.code == "bad-seal"
    assert "not trusted as registry" in report.reason
    assert not depot.chunks_sent(made)
    assert_v1_serves(serving)


def test_a_manifest_that_was_changed_after_it_was_signed_is_rejected(serving, depot, keys) -> None:
    made = keys.model("v2")
    other = keys.model("v2", weight=3.0)
    depot.offer(replace(made, sealed=other.sealed))
    assert depot.wait_for_state("REJECTED", "v2").code == "manifest-mismatch"
    assert_v1_serves(serving)


def test_desired_states_that_are_not_ours_not_newer_or_not_an_operators_are_not_obeyed(
    serving, depot, keys
) -> None:
    made = keys.model("v2")
    seq = depot.seq
    depot.offer(made, seq=seq)  # not newer
    depot.offer(made, seq=seq + 1, key=keys.registry)  # the registry does not command devices
    depot.offer(made, seq=seq + 1, device="us-002")
    depot.offer(made, seq=seq + 1, fence=0)
    depot.publish("tiers/1/north/d/us-001/desired", b"junk")
    depot.offer(keys.model("v3"), seq=seq + 1)
    depot.wait_for_state("ACTIVE", "v3")
    assert not depot.chunks_sent(made)
    assert {model.version for report in depot.history for model in report.models} == {"v1", "v3"}
    _, page = serving.get("/metrics")
    assert b"edge_documents_refused_total 3.0" in page


def test_an_index_whose_path_would_leave_the_folder_is_rejected(serving, depot, keys) -> None:
    reference = ChunkRef(digest_of(b"evil"), 4)
    evil = Entry(b"../../../evil", "file", 4, 0o644, 0, pack_refs([reference]))
    depot.offer(keys.make("v2", {}, entries=(evil,)))
    report = depot.wait_for_state("REJECTED", "v2")
    assert report.code == "unsafe-path"
    assert "each part must be a plain name" in report.reason
    assert not list(serving.folder.rglob("evil"))
    assert_v1_serves(serving)


# ---------------------------------------------------------------- needs
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        # The rest of the words are told in tests/toolkit/protocol/test_offer.py; these need the machine's own facts.
        ({"requires": Requires(onnx_ir=39)}, "onnx-too-new"),
        ({"requires": Requires(memory_bytes=1 << 60)}, "no-memory"),
        ({"requires": Requires(disk_bytes=1 << 60)}, "no-space"),
    ],
)
def test_a_version_that_this_device_cannot_run_is_rejected_with_the_reason(
    serving, depot, keys, changes: dict[str, object], code: str
) -> None:
    made = keys.make("v2", {"model.onnx": b"x"}, change=lambda manifest: change(manifest, **changes))
    depot.offer(made)
    report = depot.wait_for_state("REJECTED", "v2")
    assert report.code == code
    assert report.reason
    assert not depot.chunks_sent(made)
    assert_v1_serves(serving)


def test_a_model_that_the_configuration_does_not_name_is_rejected(serving, depot, keys) -> None:
    made = keys.make("v1", {"model.onnx": b"x"}, change=lambda manifest: change(manifest, name="other"))
    depot.offer_as("other", made)
    report = depot.wait_for(lambda model: model.model == "other" and model.state.value == "REJECTED")
    assert report.code == "not-configured"
    assert_v1_serves(serving)


# ---------------------------------------------------------------- models
def test_a_file_that_is_no_model_fails_and_is_not_tried_again_for_the_same_rollout(
    serving, depot, keys, wait_until
) -> None:
    made = keys.make("v2", {"model.onnx": b"this is no model"})
    depot.offer(made)
    report = depot.wait_for_state("FAILED", "v2")
    assert report.code == "load-failed"
    assert_v1_serves(serving)
    wait_until(lambda: not (serving.state / "versions" / made.artifact).exists(), "it takes no space")

    sent = len(depot.chunks_sent(made))
    serving.stop()
    depot.offer(made)
    serving.start(*paced(MUCH))
    wait_until(lambda: (depot.last.starts, depot.last.desired_seq) == (2, depot.seq), "it has seen the offer")
    wait_until(lambda: depot.last.models[0].serving_version == "v1", "the old version serves")
    assert {model.state.value for model in depot.last.models} == {"FAILED"}
    assert len(depot.chunks_sent(made)) == sent
    depot.offer(made, rollout="r2")
    assert depot.wait_for(lambda model: model.rollout == "r2" and bool(model.code)).code == "load-failed"


def test_a_model_that_computes_something_else_than_at_home_fails(serving, depot, keys) -> None:
    depot.offer(keys.model("v2", weight=2.5, golden_weight=2.0))
    report = depot.wait_for_state("FAILED", "v2")
    assert report.code == "golden-mismatch"
    assert "output 'scores'" in report.reason
    assert_v1_serves(serving)


def test_three_failing_inferences_in_probation_bring_the_old_version_back(depot, device, keys) -> None:
    device.config = change(device.config, models=(change(device.config.models[0], probation_seconds=600.0),))
    device.write_config()
    device.start()
    depot.offer(keys.model("v1"))
    depot.wait_for_state("PROBATION", "v1")
    depot.offer(keys.fragile("v2"))
    depot.wait_for(lambda model: model.state.value == "PROBATION" and model.serving_version == "v2")
    assert device.infer([1, 0, 0, 0])[0] == "v2"
    for _ in range(3):
        device.infer_badly()
    report = depot.wait_for(
        lambda model: model.state.value == "ROLLED_BACK" and model.serving_version == "v1"
    )
    assert report.code == "unhealthy"
    assert_v1_serves(device)


def test_a_version_whose_file_rots_falls_back_at_the_next_start(serving, depot, keys) -> None:
    made = keys.model("v2")
    depot.offer(made)
    depot.wait_for_state("ACTIVE", "v2")
    serving.stop()
    (serving.state / "versions" / made.artifact / "model.onnx").write_bytes(b"rot")
    serving.start()
    report = depot.wait_for(
        lambda model: model.state.value == "ROLLED_BACK" and model.serving_version == "v1"
    )
    assert report.code == "unhealthy"
    assert_v1_serves(serving)


def test_a_budget_that_is_too_small_is_respected(depot, device, keys) -> None:
    device.config = change(device.config, disk_budget_bytes=17 * 1024 * 1024)
    device.write_config()
    device.start()
    depot.offer(keys.model("v1", ballast=ballast(1_000_000)))
    report = depot.wait_for_state("REJECTED", "v1")
    assert report.code == "no-space"


# ---------------------------------------------------------------- the network
def test_an_offer_whose_manifest_comes_only_after_a_restart_is_taken(depot, device, keys) -> None:
    made = keys.model("v1")
    depot.offer(made, with_manifest=False)
    device.start()
    depot.wait_for_state("OFFERED", "v1")
    device.kill()
    device.start()
    depot.wait_for(lambda _: depot.last.starts == 2)
    depot.publish(TOPICS.manifest(made.artifact), made.sealed)
    depot.wait_for_state("ACTIVE", "v1")
    assert_v1_serves(device)


def test_a_memory_that_cannot_be_written_for_a_while_stops_nothing_for_good(
    serving, depot, keys, wait_until
) -> None:
    def tell(statement: str) -> None:
        with closing(sqlite3.connect(serving.state / "edge.sqlite", timeout=10)) as db, db:
            db.execute(statement)

    tell("CREATE TRIGGER full BEFORE INSERT ON installation BEGIN SELECT RAISE(FAIL, 'disk full'); END")
    depot.offer(keys.model("v2"))
    wait_until(lambda: "edge.sqlite cannot be written: disk full" in serving.log(), "the daemon says so")
    assert_v1_serves(serving)
    assert {model.version for model in depot.last.models} == {"v1"}, "what is not saved is not done"
    tell("DROP TRIGGER full")
    depot.wait_for_state("ACTIVE", "v2")
    assert serving.infer([1, 0, 0, 0])[0] == "v2"
