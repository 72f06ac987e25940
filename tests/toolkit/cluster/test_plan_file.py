"""A plan's file: what is written can be read, and nothing else is."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import msgspec
import pytest

from toolkit.cluster.diff import Action
from toolkit.cluster.plan import ClusterPlan, Plan, PlannedDeletion, PlannedObject
from toolkit.cluster.plan_file import LARGEST, digest_of, read_plan, sealed, write_plan
from toolkit.cluster.prune import Seen
from toolkit.cluster.refusal import FieldConflict
from toolkit.cluster.rules import Rules
from toolkit.errors import ClusterError, IntegrityError, TiersError, UsageError

VECTOR = Path(__file__).parent / "vectors" / "plan-1.json"
"""Written by the first version that had plans; stays as it is."""


def seen(kind: str, name: str, api_version: str = "v1") -> Seen:
    return Seen((api_version, kind, "site", name), f"uid-{name}", "7", "0" * 64)


def wanted(kind: str, name: str, action: Action, **more: object) -> PlannedObject:
    body = {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "site"},
        "data": {"ü": "1"},
    }
    live = None if action is Action.CREATE else seen(kind, name)
    return PlannedObject(action=action, source="clusters.main", body=body, live=live, **more)


def plan(*objects: PlannedObject, rules: Rules | None = None) -> Plan:
    cluster = ClusterPlan(
        cluster="main",
        context="hospital",
        server="https://127.0.0.1:6443",
        uid="0b1c",
        objects=objects
        or (
            wanted("ConfigMap", "new", Action.CREATE),
            wanted("ConfigMap", "old", Action.CHANGE, lines=("~ data.ü: 0 → 1",)),
        ),
        deletions=(
            PlannedDeletion(live=seen("ConfigMap", "gone")),
            PlannedDeletion(
                live=seen("Namespace", "site"), stays="stays: a Namespace goes only with its option"
            ),
        ),
    )
    return Plan(
        tool="0.1.0",
        topology="site",
        made_at="2026-11-22T00:00:00Z",
        made_by="anna@desk",
        commit="0123456789ab+",
        rules=rules or Rules(prune_kinds=frozenset({"Namespace", "PersistentVolumeClaim"})),
        clusters=(cluster,),
    )


def test_what_was_written_once_can_always_be_read():
    found = read_plan(VECTOR)
    assert found == msgspec.structs.replace(plan(), sha256=digest_of(plan()))
    assert sealed(found) == VECTOR.read_bytes(), "this version writes the same bytes"


def test_a_written_plan_reads_as_it_was_and_only_its_owner_may(tmp_path):
    path = tmp_path / "plan"
    path.touch(mode=0o644)
    write_plan(plan(), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert msgspec.structs.replace(read_plan(path), sha256="") == plan()
    assert [each.name for each in tmp_path.iterdir()] == ["plan"]


def test_its_steps_are_what_is_done():
    (cluster,) = plan().clusters
    assert [step[:2] for step in cluster.steps] == [
        ("create", "ConfigMap site/new"),
        ("change", "ConfigMap site/old"),
        ("prune", "ConfigMap site/gone"),
        ("left over", "Namespace site/site"),
    ]
    assert cluster.work == 3


def refused(tmp_path: Path, data: bytes) -> TiersError:
    path = tmp_path / "plan"
    path.write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        read_plan(path)
    assert caught.value.exit_code == 6
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value


def document() -> dict:
    return json.loads(VECTOR.read_bytes())


def changed(**values: object) -> bytes:
    return json.dumps(document() | values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "data",
    [
        changed(topology="other"),
        changed(sha256="0" * 64),
        changed(rules=document()["rules"] | {"force_conflicts": True}),
        changed(clusters=[document()["clusters"][0] | {"uid": "another"}]),
        VECTOR.read_bytes() + b"\n",
        json.dumps(document(), indent=1).encode(),
        VECTOR.read_bytes().replace(b'"stays"', b'"stays":"","stays"', 1),
    ],
    ids=["topology", "digest", "rules", "cluster", "longer", "indented", "twice"],
)
def test_a_plan_that_was_changed_is_refused(tmp_path, data):
    error = refused(tmp_path, data)
    assert "was changed after it was written" in error.message
    assert "tiers plan -o" in error.hint


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not a Plan"),
        (b"hello", "is not a Plan"),
        (b"\xff\xfe", "is not a Plan"),
        (b"[" * 100_000, "is not a Plan"),
        (VECTOR.read_bytes()[:-20], "is not a Plan"),
        (changed(more=1), "is not a Plan"),
        (changed(clusters="all"), "is not a Plan"),
        (changed(format=2), "has format 2; this version reads Plan 1"),
        (changed(format="1"), "is not a Plan"),
    ],
)
def test_what_is_no_plan_of_ours_is_refused(tmp_path, data, said):
    assert said in refused(tmp_path, data).message


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "ConfigMap", "metadata": {"name": "a"}},
        {"apiVersion": "v1", "metadata": {"name": "a"}},
        {"apiVersion": "v1", "kind": "ConfigMap"},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "../secrets/a"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "a/b"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": 1}},
    ],
)
def test_a_plan_with_what_is_no_object_is_refused_though_its_digest_fits(tmp_path, body):
    strange = msgspec.structs.replace(wanted("ConfigMap", "a", Action.CREATE), body=body)
    assert "holds what is no object" in refused(tmp_path, sealed(plan(strange))).message


def test_a_newer_format_names_the_cure(tmp_path):
    assert "update tiers" in refused(tmp_path, changed(format=2)).hint


def test_a_file_that_is_too_large_is_not_decoded(tmp_path):
    path = tmp_path / "plan"
    with path.open("wb") as file:
        file.truncate(LARGEST * 4)
    with pytest.raises(IntegrityError, match="at most 67108864 are read"):
        read_plan(path)


def test_no_file_names_the_cure(tmp_path):
    with pytest.raises(UsageError, match="No such file") as caught:
        read_plan(tmp_path / "plan")
    assert caught.value.hint.startswith("tiers plan -o")
    with pytest.raises(UsageError, match="directory"):
        read_plan(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"cannot write .*No such file"):
        write_plan(plan(), tmp_path / "nowhere" / "plan")
    os.mkdir(tmp_path / "folder")  # noqa: PTH102
    with pytest.raises(UsageError, match="cannot write"):
        write_plan(plan(), tmp_path / "folder")


@pytest.mark.parametrize("action", [Action.CONFLICT, Action.REFUSED, Action.FOREIGN])
def test_what_would_fail_is_not_written(tmp_path, action):
    doomed = wanted(
        "ConfigMap", "a", action, lines=("spec.x belongs to kubectl-edit",), cure="tiers apply --adopt"
    )
    with pytest.raises(
        ClusterError, match=r"1 objects would be refused:\n.*ConfigMap site/a.*kubectl-edit"
    ) as caught:
        write_plan(plan(doomed), tmp_path / "plan")
    assert caught.value.hint == "tiers apply --adopt"
    assert list(tmp_path.iterdir()) == []


def test_a_conflict_that_was_allowed_is_written(tmp_path):
    owned = wanted("ConfigMap", "a", Action.CONFLICT, conflicts=(FieldConflict(".data.a", "kubectl-edit"),))
    write_plan(plan(owned, rules=Rules(force_conflicts=True)), tmp_path / "plan")
    assert read_plan(tmp_path / "plan").clusters[0].objects[0].conflicts[0].owner == "kubectl-edit"


@pytest.mark.parametrize("part", ["data", "stringData"])
def test_a_secret_is_never_written(tmp_path, part):
    secret = wanted("Secret", "a", Action.CREATE)
    held = msgspec.structs.replace(secret, body={**secret.body, "data": {}, part: {"password": "hunter2"}})
    with pytest.raises(ClusterError, match="Secret site/a holds a secret") as caught:
        write_plan(plan(held), tmp_path / "plan")
    assert "hunter2" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_the_hospital_is_made_of_holds_no_secret(hospital):
    from toolkit.render.objects import render

    assert [each.name for each in render(hospital) if each.kind == "Secret"] == []
