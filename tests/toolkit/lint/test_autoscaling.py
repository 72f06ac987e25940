"""Who scales what, in the forms that people and controllers give it: what is a clash, and what only looks like one."""

from __future__ import annotations

import pytest

from tests.toolkit.lint.conftest import POD
from toolkit.lint.check import lint
from toolkit.lint.document import from_objects

TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "serve"}
CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}
CRON = {"timezone": "UTC", "start": "0 8 * * *", "end": "0 20 * * *", "desiredReplicas": "6"}


def named(kind, version, spec, **metadata):
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "serve", **metadata}, "spec": spec}


def hpa(*metrics, **changes):
    spec = {"scaleTargetRef": TARGET, "minReplicas": 2, "maxReplicas": 9, "metrics": list(metrics)}
    return named("HorizontalPodAutoscaler", "autoscaling/v2", spec, **changes)


def vpa(mode="Recreate", resources=("cpu", "memory"), **policy):
    containers = [{"containerName": "*", "controlledResources": list(resources), **policy}]
    spec = {"updatePolicy": {"updateMode": mode}, "resourcePolicy": {"containerPolicies": containers}}
    return named("VerticalPodAutoscaler", "autoscaling.k8s.io/v1", {"targetRef": TARGET, **spec})


def keda(*triggers, **spec):
    body = {"scaleTargetRef": {"name": "serve"}, "minReplicaCount": 1, "triggers": list(triggers), **spec}
    return named("ScaledObject", "keda.sh/v1alpha1", body)


def serve(containers=POD["containers"], spec=(), **metadata):
    template = {"metadata": {"labels": {"app": "serve"}}, "spec": {**POD, "containers": containers}}
    return named("Deployment", "apps/v1", {"template": template, **dict(spec)}, **metadata)


def budget(**spec):
    return named("PodDisruptionBudget", "policy/v1", {"selector": {"matchLabels": {"app": "serve"}}, **spec})


def codes(*bodies):
    return [each.code for each in lint(from_objects(bodies))]


def trigger(kind, **metadata):
    return {"type": kind, "metadata": metadata}


@pytest.mark.parametrize(
    ("vertical", "horizontal", "expected"),
    [
        (vpa(), hpa(CPU), ["L410"]),
        (vpa("Initial"), hpa(CPU), ["L410"]),
        (vpa("Off"), hpa(CPU), []),
        (vpa(resources=["memory"]), hpa(CPU), []),
        (vpa(), keda(trigger("cpu", value="80")), ["L410"]),
        (vpa(), keda(trigger("cpu", value="2") | {"metricType": "AverageValue"}), []),
        (vpa(), keda(trigger("cron", **CRON)), []),
        (vpa(), {**hpa(), "apiVersion": "autoscaling/v1",
                 "spec": {"scaleTargetRef": TARGET, "maxReplicas": 9, "targetCPUUtilizationPercentage": 80}}, ["L410"]),
    ],
)  # fmt: skip
def test_two_clash_where_both_act_on_one_resource(vertical, horizontal, expected):
    assert codes(vertical, horizontal) == expected


def test_a_container_that_a_vpa_leaves_alone_is_not_contested():
    body = vpa()
    body["spec"]["resourcePolicy"]["containerPolicies"][0]["mode"] = "Off"
    assert codes(body, hpa(CPU)) == []


def test_the_hpa_that_keda_makes_is_not_a_second_one():
    made = hpa(
        CPU, ownerReferences=[{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "serve"}]
    )
    assert codes(keda(trigger("cpu", value="80")), made) == []
    assert codes(keda(trigger("cpu", value="80")), hpa(CPU)) == ["L422"]


def test_what_a_cluster_lists_has_replicas_and_nobody_wrote_them():
    written, listed = serve(spec={"replicas": 3}), serve(spec={"replicas": 3}, resourceVersion="7")
    assert codes(written, hpa(CPU)) == ["L421"]
    assert codes(listed, hpa(CPU)) == []
    assert codes(written, vpa()) == []


def test_a_limit_stands_for_a_request():
    (main,) = POD["containers"]
    limited = {**main, "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    bare = {**main, "resources": {"requests": {"memory": "1Gi"}}}
    assert codes(serve([limited]), hpa(CPU)) == []
    assert codes(serve([bare]), hpa(CPU)) == ["L301", "L407"]


def test_a_metric_of_one_container_asks_that_one_for_a_request():
    (main,) = POD["containers"]
    two = [main, {**main, "name": "side", "resources": {"requests": {"memory": "1Gi"}}}]
    target = {"type": "Utilization", "averageUtilization": 80}

    def of(container):
        metric = {"name": "cpu", "container": container, "target": target}
        return {"type": "ContainerResource", "containerResource": metric}

    assert codes(serve(two), hpa(of("main"))) == ["L301"]
    assert codes(serve(two), hpa(of("side"))) == ["L301", "L407"]
    assert codes(serve(two), hpa(CPU)) == ["L301", "L407"]


@pytest.mark.parametrize(
    ("spec", "beside", "expected"),
    [
        ({"minAvailable": 1}, [serve()], ["L437"]),
        ({"minAvailable": 1}, [serve(spec={"replicas": 2})], []),
        ({"minAvailable": 2}, [serve(spec={"replicas": 2})], ["L437"]),
        ({"minAvailable": "50%"}, [serve(spec={"replicas": 2})], []),
        ({"minAvailable": "51%"}, [serve(spec={"replicas": 2})], ["L437"]),
        ({"minAvailable": 1}, [serve(), hpa(CPU)], []),
        ({"minAvailable": 2}, [serve(), hpa(CPU)], ["L437"]),
        ({"minAvailable": "100%"}, [], ["L437"]),
        ({"maxUnavailable": "0%"}, [], ["L437"]),
        ({"minAvailable": 1}, [], []),
        ({}, [], []),
    ],
)
def test_a_budget_is_held_against_the_fewest_pods_that_there_are(spec, beside, expected):
    assert codes(*beside, budget(**spec)) == expected
