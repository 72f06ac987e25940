"""What Volcano's own pages do rightly, and rules here once held against them: found by scripts/lint_upstream.py."""

from __future__ import annotations

import pytest

from toolkit.lint.check import lint
from toolkit.lint.document import from_objects
from toolkit.lint.schema import schemas_from, validate

SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "train"}}
ROOT = {"apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "Queue", "metadata": {"name": "root"}}
AFFINITY = {"nodeGroupAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": ["production"]}}


def codes(*bodies):
    documents = from_objects(bodies)
    problems = (*validate(documents, schemas_from([])).problems, *lint(documents))
    return [each.code for each in problems]


def test_a_name_that_the_server_makes_is_a_name(good):
    gang = good["gang"]
    gang["metadata"] = {"generateName": "train-", "namespace": "research"}
    assert [each.code for each in lint(from_objects([gang]))] == []
    gang["metadata"]["generateName"] = "Train-"
    first = lint(from_objects([gang]))[0]
    assert (first.code, str(first.place)) == ("L104", "Job research/ metadata.generateName")
    gang["metadata"] = {"namespace": "research"}
    assert lint(from_objects([gang]))[0].code == "L104"


@pytest.mark.parametrize(
    ("metadata", "expected"), [({"generateName": "login-"}, []), ({"labels": {"app": "login"}}, ["L004"])]
)
def test_a_schema_takes_a_prefix_instead_of_a_name(metadata, expected):
    assert codes({"apiVersion": "v1", "kind": "Secret", "metadata": metadata}) == expected


def test_a_long_prefix_is_cut_before_the_server_adds_to_it(good):
    gang = good["gang"]
    gang["metadata"] = {"generateName": "t" * 62 + "-"}
    assert {each.code for each in lint(from_objects([gang]))} == {"L104"}
    assert all("pod name" in each.message for each in lint(from_objects([gang])))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"clusterIP": "None", "selector": {"app": "train"}}, []),
        ({"type": "ExternalName", "externalName": "registry.example"}, []),
        ({"selector": {"app": "train"}}, ["L004"]),
        ({"type": "LoadBalancer", "selector": {"app": "train"}}, ["L004"]),
    ],
)
def test_a_service_without_an_address_needs_no_ports(spec, expected):
    assert codes({**SERVICE, "spec": spec}) == expected


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("kubernetes.io/batch-cpu", []),
        ("example.com/device", ["L322"]),
        ("hugepages-2Mi", ["L322"]),
        ("memory", []),
    ],
)
def test_what_is_kubernetes_own_may_be_requested_without_a_limit(good, resource, expected):
    container = good["daemonset"]["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"requests": {"cpu": "1", "memory": "1Gi"}}
    container["resources"]["requests"][resource] = "4"
    assert [each.code for each in lint(from_objects([good["daemonset"]]))] == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"weight": 1, "affinity": AFFINITY}, []),
        ({"capability": {"cpu": 4}}, ["L124"]),
        ({"deserved": {"cpu": 4}}, ["L124"]),
        ({"parent": "above"}, ["L124", "L127"]),
    ],
)
def test_the_root_queue_may_have_an_affinity(spec, expected):
    assert [each.code for each in lint(from_objects([{**ROOT, "spec": spec}]))] == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"ingress": [{"ports": [{"port": 8080}]}], "egress": [{}], "policyTypes": ["Ingress", "Egress"]},
            [],
        ),
        ({"egress": [{}], "policyTypes": ["Ingress", "Egress"]}, []),
        ({"ingress": [{}], "egress": [{}], "policyTypes": ["Ingress", "Egress"]}, ["L451", "L451"]),
    ],
)
def test_a_policy_that_closes_one_way_may_leave_the_other_open(spec, expected):
    """Kube-prometheus writes `egress: [{}]` beside its ingress rules."""
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "prometheus"},
    }
    body = policy | {"spec": {"podSelector": {"matchLabels": {"app": "prometheus"}}, **spec}}
    assert [each.code for each in lint(from_objects([body]))] == expected
