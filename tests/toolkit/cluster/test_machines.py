"""Which node a pod may be on, and since when a node is silent."""

from __future__ import annotations

import pytest

from toolkit.cluster.machines import is_wanted_on, machine_of, offline_of

SINCE = "2026-11-22T00:00:00Z"


def node(name: str = "a", ready: str | None = "Unknown", **labels: str) -> dict:
    others = [{"type": "MemoryPressure", "status": "False", "lastTransitionTime": "never"}]
    conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": SINCE}] if ready else []
    return {"metadata": {"name": name, "labels": labels}, "status": {"conditions": others + conditions}}


def required(*expressions: dict, kind: str = "matchExpressions") -> dict:
    terms = [{kind: [expression]} for expression in expressions]
    rule = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"affinity": {"nodeAffinity": rule}}


def is_on(pod: dict, found: dict) -> bool:
    return bool(offline_of(pod, [machine_of(found)]))


@pytest.mark.parametrize(
    ("ready", "since"),
    [("True", None), ("False", SINCE), ("Unknown", SINCE), (None, "it has never reported")],
)
def test_a_node_is_silent_unless_it_says_that_it_is_ready(ready, since):
    assert machine_of(node(ready=ready)).silent_since == since


def test_a_node_without_a_status_has_never_reported():
    assert machine_of({"metadata": {"name": "new"}}).silent_since == "it has never reported"


def test_only_silent_nodes_are_offline():
    nodes = [machine_of(node("on", "True")), machine_of(node("off", "False"))]
    assert [(each.name, each.silent_since) for each in offline_of({}, nodes)] == [("off", SINCE)]


def test_every_label_of_the_selector_counts():
    pod = {"nodeSelector": {"tier": "edge", "pool": "p"}}
    assert is_on(pod, node(tier="edge", pool="p"))
    assert not is_on(pod, node(tier="edge", pool="q"))
    assert not is_on(pod, node(tier="edge"))


@pytest.mark.parametrize(
    ("expression", "on"),
    [
        ({"key": "pool", "operator": "In", "values": ["p", "q"]}, True),
        ({"key": "pool", "operator": "In", "values": ["q"]}, False),
        ({"key": "pool", "operator": "NotIn", "values": ["p"]}, False),
        ({"key": "pool", "operator": "NotIn", "values": ["q"]}, True),
        ({"key": "room", "operator": "NotIn", "values": ["7"]}, True),
        ({"key": "pool", "operator": "Exists"}, True),
        ({"key": "room", "operator": "Exists"}, False),
        ({"key": "pool", "operator": "DoesNotExist"}, False),
        ({"key": "room", "operator": "DoesNotExist"}, True),
    ],
)
def test_required_affinity_counts(expression, on):
    assert is_on(required(expression), node(pool="p")) is on


def test_one_of_the_terms_is_enough_and_all_of_a_term_are_needed():
    names = [{"key": "metadata.name", "operator": "In", "values": [name]} for name in ("a", "b")]
    assert is_on(required(*names, kind="matchFields"), node("b"))
    assert not is_on(required(*names, kind="matchFields"), node("c"))
    both = {"key": "pool", "operator": "Exists"}, {"key": "room", "operator": "Exists"}
    rule = {"nodeSelectorTerms": [{"matchExpressions": list(both)}]}
    pod = {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": rule}}}
    assert not is_on(pod, node(pool="p"))
    assert is_on(pod, node(pool="p", room="7"))


UNREACHABLE = {"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("toleration", "wanted"),
    [
        ({}, False),
        ({"operator": "Exists"}, True),
        ({"key": "node.kubernetes.io/unreachable", "operator": "Exists"}, True),
        ({"key": "node.kubernetes.io/unreachable"}, True),
        ({"key": "node.kubernetes.io/unreachable", "operator": "Equal", "value": "x"}, False),
        ({"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"key": "node.kubernetes.io/not-ready", "operator": "Exists"}, False),
    ],
)
def test_a_silent_machine_is_wanted_by_who_tolerates_its_taint(toleration, wanted):
    found = machine_of(node() | {"spec": {"taints": [UNREACHABLE]}})
    assert is_wanted_on({"tolerations": [toleration]}, found) is wanted


@pytest.mark.parametrize(
    "taint",
    [
        {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"},
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
        {"key": "anything", "effect": "PreferNoSchedule"},
    ],
)
def test_taints_that_keep_no_daemon_away(taint):
    assert is_wanted_on({}, machine_of(node() | {"spec": {"taints": [taint]}}))
