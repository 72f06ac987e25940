"""In no golden case a pod gets a token of the API server that it does not need, or more rights than it is made for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.render.objects import render
from toolkit.topology.load import load

REPOSITORY = Path(__file__).parents[3]
CASES = sorted(path.name for path in (REPOSITORY / "tests" / "golden").iterdir() if path.is_dir())
ROLES = {"Role", "ClusterRole"}
BINDINGS = {"RoleBinding", "ClusterRoleBinding"}


def objects_of(case: str):
    own = REPOSITORY / "tests" / "golden" / case / "tiers.yaml"
    return render(load([own if own.is_file() else REPOSITORY / "tiers.yaml"]).topology)


def pod_specs(value: object) -> Iterator[dict]:
    """Find every pod spec, wherever a kind keeps it: it is what has a list of containers."""
    if isinstance(value, dict):
        if isinstance(value.get("containers"), list):
            yield value
        for each in value.values():
            yield from pod_specs(each)
    elif isinstance(value, list):
        for each in value:
            yield from pod_specs(each)


ASK_THE_SERVER = {
    "gpu-sharing": {"tiers-vgpus-vgpu": {("nodes", "get list watch update patch"), ("nodes/status", "patch"),
                                         ("pods", "get list update patch")}},
}  # fmt: skip
"""Golden case -> account whose pods have a token -> all that it may do. Volcano's vGPU plugin writes annotations."""


@pytest.mark.parametrize("case", CASES)
def test_no_pod_gets_a_token_or_rights_that_it_does_not_need(case):
    objects = objects_of(case)
    accounts = {(each.namespace, each.name): each.body for each in objects if each.kind == "ServiceAccount"}
    with_token = set()
    for each in objects:
        for pod in pod_specs(each.body):
            name = pod.get("serviceAccountName")
            if name is not None:
                assert accounts[each.namespace, name]["automountServiceAccountToken"] is False, each.file_name
            if pod.get("automountServiceAccountToken") is not False:
                with_token.add(name)
    assert with_token == set(ASK_THE_SERVER.get(case, {}))
    assert granted(objects) == ASK_THE_SERVER.get(case, {})


def granted(objects) -> dict[str, set[tuple[str, str]]]:
    """Give the rights that the rendered bindings hand out, by account."""
    roles = {(each.kind, each.name): each.body["rules"] for each in objects if each.kind in ROLES}
    found: dict[str, set[tuple[str, str]]] = {}
    for each in objects:
        if each.kind in BINDINGS:
            rules = roles.pop((each.body["roleRef"]["kind"], each.body["roleRef"]["name"]))
            rights = {(resource, " ".join(rule["verbs"])) for rule in rules for resource in rule["resources"]}
            for subject in each.body["subjects"]:
                assert subject["kind"] == "ServiceAccount"
                found.setdefault(subject["name"], set()).update(rights)
    assert not roles, "a role that nobody has"
    return found


def test_the_programs_of_the_data_plane_have_an_account_each():
    owners: dict[str, set[str]] = {}
    for each in objects_of("data-plane"):
        for pod in pod_specs(each.body):
            if "serviceAccountName" in pod:
                labels = each.body["metadata"]["labels"]
                owner = f"{labels['tiers.dev/part-of']} {labels['tiers.dev/name']}"
                owners.setdefault(pod["serviceAccountName"], set()).add(owner)
    assert owners == {
        "tiers-broker": {"broker broker"},
        "tiers-depot": {"depot depot"},
        "tiers-driver": {"driver driver"},
        "tiers-lifecycle": {"lifecycle lifecycle"},
        "tiers-sync-hot": {"agent hot"},
        "tiers-sync-warm": {"agent warm"},
    }
