"""Who stands beside whom in a run, found once and quickly however many objects there are."""

from __future__ import annotations

import copy
import cProfile
import pstats

import pytest

from tests.toolkit.lint.fault_reader import FAULTS
from toolkit.lint.check import lint
from toolkit.lint.document import from_objects
from toolkit.lint.neighbours import Target, neighbours, once_a_run, selects, target_of

DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "serve", "namespace": "a"}}
KEDA = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "s", "namespace": "a"}}


def ask(**labels):
    return from_objects([{"kind": "NetworkPolicy", "metadata": {"namespace": "a", "labels": labels}}])[0]


def run(*bodies):
    return neighbours(from_objects(bodies))


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"name": "serve"}, Target("apps", "Deployment", "a", "serve")),
        ({"name": "db", "kind": "StatefulSet"}, Target("apps", "StatefulSet", "a", "db")),
        ({"name": "r", "kind": "Rollout", "apiVersion": "argoproj.io/v1alpha1"},
         Target("argoproj.io", "Rollout", "a", "r")),
        ({}, None),
    ],
)  # fmt: skip
def test_a_scaled_object_means_a_deployment_unless_it_says_otherwise(reference, expected):
    (document,) = from_objects([KEDA | {"spec": {"scaleTargetRef": reference}}])
    assert target_of(document) == expected


def test_workloads_are_found_by_name_and_by_namespace():
    around = run(DEPLOYMENT, DEPLOYMENT | {"metadata": {"name": "serve", "namespace": "b"}})
    assert set(around.workloads) == {Target("apps", "Deployment", each, "serve") for each in "ab"}
    assert [each.title for each in around.workloads_of("b")] == ["Deployment b/serve"]
    assert len(around.of("Deployment")) == 2
    assert len(around.of("Deployment", "a")) == 1
    assert around.of("Deployment", "c") == ()


def test_what_somebody_wrote_is_never_all_there_is():
    assert not run(DEPLOYMENT).knows_all(["Deployment"], ask())


def test_a_listing_of_a_cluster_is_all_of_the_kinds_that_it_lists():
    listed = copy.deepcopy(DEPLOYMENT)
    listed["metadata"]["uid"] = "6a1f"
    around = run(listed)
    assert around.knows_all(["Deployment"], ask())
    assert not around.knows_all(["Deployment", "DaemonSet"], ask())


def test_what_one_topology_becomes_is_all_of_its_own():
    ours = copy.deepcopy(DEPLOYMENT)
    ours["metadata"]["labels"] = {"tiers.dev/topology": "hospital"}
    around = run(ours)
    assert around.knows_all(["Deployment", "DaemonSet"], ask(**{"tiers.dev/topology": "hospital"}))
    assert not around.knows_all(["Deployment"], ask(**{"tiers.dev/topology": "shop"}))
    assert not around.knows_all(["Deployment"], ask())


@pytest.mark.parametrize(
    ("expression", "taken"),
    [
        ({"key": "app", "operator": "In", "values": ["serve", "view"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["serve"]}, False),
        ({"key": "tier", "operator": "DoesNotExist"}, True),
        ({"key": "tier", "operator": "Exists"}, False),
    ],
)
def test_selectors_take_what_they_say(expression, taken):
    assert selects({"matchExpressions": [expression]}, {"app": "serve"}) is taken
    assert selects({}, {"app": "serve"})
    assert not selects({"matchLabels": {"app": "view"}}, {"app": "serve"})


def test_a_fact_of_a_run_is_found_once():
    asked = []

    @once_a_run
    def names(around):
        asked.append(around)
        return sorted(each.name for each in around.of("Deployment"))

    around, other = run(DEPLOYMENT), run()
    assert names(around) == names(around) == ["serve"]
    assert names(other) == []
    assert asked == [around, other]


def test_four_times_the_objects_are_four_times_the_work():
    """Counted in calls, which no busy machine changes."""

    def calls(copies):
        bodies = []
        for number in range(copies):
            for fault in FAULTS:
                for body in copy.deepcopy(fault.bodies):
                    body.setdefault("metadata", {})["namespace"] = f"copy-{number}"
                    bodies.append(body)
        documents = from_objects(bodies)
        with cProfile.Profile() as profile:
            lint(documents)
        return pstats.Stats(profile).total_calls

    assert calls(4) < 4.3 * calls(1)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"spec": {"replicas": 2}}, ["L456"]),
        ({}, []),
        ({"metadata": {"name": "serve", "namespace": "b"}, "spec": {"replicas": 2}}, []),
        ({"metadata": {"name": "serve", "namespace": "a", "uid": "6a1f"}, "spec": {"replicas": 2}}, []),
        ({"kind": "StatefulSet", "spec": {"replicas": 2}}, []),
        ({"status": {}, "spec": {"replicas": 2}}, []),
    ],
)
def test_two_of_one_name_are_told_where_both_were_written(other, expected):
    found = lint(from_objects([DEPLOYMENT, DEPLOYMENT | other]))
    assert [each.code for each in found if each.code == "L456"] == expected
