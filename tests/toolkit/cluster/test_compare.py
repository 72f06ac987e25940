"""Equal is said only when applying would change nothing; a doubt is a difference."""

from __future__ import annotations

import pytest

from toolkit.cluster.compare import MANAGER, is_as_wanted, keeping_replicas, without_bookkeeping

WANTED = {
    "apiVersion": "v1",
    "kind": "Thing",
    "metadata": {"name": "a", "labels": {"x": "1"}},
    "spec": {
        "limits": {"cpu": "1", "memory": "1Gi"},
        "command": ["a", "b"],
        "env": [{"name": "N", "value": "1000m"}],
    },
}
OWNED = {
    "f:metadata": {"f:labels": {".": {}, "f:x": {}}},
    "f:spec": {
        "f:limits": {"f:cpu": {}, "f:memory": {}},
        "f:command": {},
        "f:env": {".": {}, 'k:{"name":"N"}': {".": {}, "f:name": {}, "f:value": {}}},
    },
}


def merged(one: dict, other: dict) -> dict:
    """Give what has the keys of both, down to the leaves."""
    both = {
        name: merged(one[name], other[name]) if name in one and name in other else (one | other)[name]
        for name in {**one, **other}
    }
    return dict(both)


def live(owned: object = OWNED, manager: str = MANAGER, **spec: object) -> dict[str, object]:
    """Give the wanted object as a server has it: with defaults, status and a record of owners."""
    entry = {"manager": manager, "operation": "Apply", "fieldsV1": owned}
    return {
        **WANTED,
        "metadata": {**WANTED["metadata"], "uid": "1", "resourceVersion": "7", "managedFields": [entry]},
        "spec": {**WANTED["spec"], "default": True, **spec},
        "status": {"phase": "Running"},
    }


def test_defaults_and_status_are_no_difference():
    assert is_as_wanted(live(), WANTED)


def test_amounts_compare_as_amounts():
    assert is_as_wanted(live(limits={"cpu": "1000m", "memory": "1024Mi"}), WANTED)


@pytest.mark.parametrize(
    "spec",
    [
        {"limits": {"cpu": "2", "memory": "1Gi"}},
        {"limits": {"cpu": "1"}},
        {"command": ["a"]},
        {"command": ["b", "a"]},
        {"env": [{"name": "N", "value": "1"}]},
        {"env": [{"name": "N", "value": "1000m"}, {"name": "M", "value": "1"}]},
    ],
    ids=["amount", "amount gone", "shorter", "order", "text that looks like an amount", "item of another"],
)
def test_another_value_is_a_difference(spec):
    assert not is_as_wanted(live(**spec), WANTED)


def test_true_is_not_one():
    owned = {**OWNED, "f:spec": {**OWNED["f:spec"], "f:default": {}}}
    wanted = {**WANTED, "spec": {**WANTED["spec"], "default": True}}
    assert is_as_wanted(live(owned=owned), wanted)
    assert not is_as_wanted(live(owned=owned), {**wanted, "spec": {**wanted["spec"], "default": 1}})


@pytest.mark.parametrize(
    ("field", "equal"), [("globalDefault", True), ("automountServiceAccountToken", False)]
)
def test_false_is_absent_only_where_the_api_leaves_it_out(field, equal):
    assert is_as_wanted(live(), {**WANTED, field: False}) is equal


def test_what_nobody_applied_for_us_is_a_difference():
    assert not is_as_wanted(live(manager="kubectl"), WANTED)


@pytest.mark.parametrize(
    "more",
    [
        {"f:spec": {"f:gone": {}}},
        {"f:metadata": {"f:labels": {"f:gone": {}}}},
        {"f:spec": {"f:env": {'k:{"name":"GONE"}': {".": {}}}}},
        {"f:spec": {"f:command": {'v:"gone"': {}}}},
    ],
    ids=["field", "label", "item", "member of a set"],
)
def test_what_is_ours_and_not_wanted_any_more_is_a_difference(more):
    assert not is_as_wanted(live(owned=merged(OWNED, more)), WANTED)


@pytest.mark.parametrize(
    ("field", "item"),
    [("f:limits", "f:cpu"), ("f:env", 'k:{"name":"N"}')],
    ids=["value", "item"],
)
def test_what_somebody_else_took_is_a_difference_though_the_value_is_as_wanted(field, item):
    taken = {name: below for name, below in OWNED["f:spec"][field].items() if name != item}
    assert not is_as_wanted(live(owned={**OWNED, "f:spec": {**OWNED["f:spec"], field: taken}}), WANTED)
    without = {name: below for name, below in OWNED["f:spec"].items() if name != field}
    assert not is_as_wanted(live(owned={**OWNED, "f:spec": without}), WANTED)


def test_more_in_what_is_owned_as_a_whole_is_a_difference():
    whole = {**OWNED, "f:spec": {**OWNED["f:spec"], "f:limits": {}}}
    assert is_as_wanted(live(owned=whole), WANTED)
    assert not is_as_wanted(live(owned=whole, limits={"cpu": "1", "memory": "1Gi", "gone": "1"}), WANTED)
    assert is_as_wanted(live(limits={"cpu": "1", "memory": "1Gi", "somebody's": "1"}), WANTED)


def test_an_items_key_may_be_a_default():
    item = {'k:{"name":"N","protocol":"TCP"}': OWNED["f:spec"]["f:env"]['k:{"name":"N"}']}
    owned = {**OWNED, "f:spec": {**OWNED["f:spec"], "f:env": item}}
    assert is_as_wanted(live(owned=owned), WANTED)


def test_bookkeeping_is_left_out():
    assert without_bookkeeping(live()) == {**WANTED, "spec": {**WANTED["spec"], "default": True}}


def test_replicas_of_ours_that_are_left_to_an_autoscaler_go_along_until_it_has_scaled():
    deployment = {**WANTED, "kind": "Deployment"}
    ours = merged(OWNED, {"f:spec": {"f:replicas": {}}})
    before = {**live(ours, replicas=4), "kind": "Deployment"}
    assert keeping_replicas(before, deployment)["spec"]["replicas"] == 4
    assert is_as_wanted(before, deployment)
    scaled = {**live(replicas=9), "kind": "Deployment"}
    assert keeping_replicas(scaled, deployment) is deployment
    assert is_as_wanted(scaled, deployment)
    decided = {**deployment, "spec": {**deployment["spec"], "replicas": 2}}
    assert keeping_replicas(before, decided) is decided
