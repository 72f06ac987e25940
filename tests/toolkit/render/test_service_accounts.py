"""No pod of ours gets a token of the API server, in no golden case, and no account of ours gets rights by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.render.objects import render
from toolkit.topology.load import load

REPOSITORY = Path(__file__).parents[3]
CASES = sorted(path.name for path in (REPOSITORY / "tests" / "golden").iterdir() if path.is_dir())
GRANTS = {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}


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


@pytest.mark.parametrize("case", CASES)
def test_no_pod_gets_a_token_and_accounts_are_our_own_and_without_rights(case):
    objects = objects_of(case)
    accounts = {(each.namespace, each.name): each.body for each in objects if each.kind == "ServiceAccount"}
    seen = 0
    for each in objects:
        for pod in pod_specs(each.body):
            seen += 1
            assert pod.get("automountServiceAccountToken") is False, each.file_name
            name = pod.get("serviceAccountName")
            if name is not None:
                account = accounts[each.namespace, name]
                assert account["automountServiceAccountToken"] is False, each.file_name
    assert seen, "a case without pods shows nothing"
    assert {each.kind for each in objects} & GRANTS == set()


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
        "tiers-sync-hot": {"agent hot"},
        "tiers-sync-warm": {"agent warm"},
    }
