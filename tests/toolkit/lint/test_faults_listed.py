"""Every fault that our notes on autoscaling list, in the shape in which it is copied, and the codes that tell of it.

The notes on Volcano and on KubeEdge have tests of their own (test_volcano_facts, test_kubeedge_facts); that all three
are there is held here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.errors import Severity
from toolkit.lint.check import lint
from toolkit.lint.document import from_text

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: medical-ai-inference
  namespace: medical-ai
spec:
  replicas: 1
  selector:
    matchLabels:
      app: medical-ai-inference
  template:
    metadata:
      labels:
        app: medical-ai-inference
    spec:
      containers:
        - name: inference
          image: medical-ai/inference:latest
          resources:
            limits:
              nvidia.com/gpu: 1
"""
HPA = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: medical-ai-hpa
  namespace: medical-ai
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: medical-ai-inference
  minReplicas: 2
  maxReplicas: 20
  metrics:
"""
GPU = """\
    - type: Resource
      resource:
        name: nvidia.com/gpu
        target:
          type: Utilization
          averageUtilization: 80
"""
CPU = GPU.replace("nvidia.com/gpu", "cpu")
QUEUE = """\
    - type: Pods
      pods:
        metric:
          name: request_queue_length
        target:
          type: AverageValue
          averageValue: "50"
"""
VPA = """\
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata:
  name: medical-ai-vpa
  namespace: medical-ai
spec:
  targetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: medical-ai-inference
  updatePolicy:
    updateMode: "Recreate"
  resourcePolicy:
    containerPolicies:
      - containerName: inference
        minAllowed: {cpu: "1", memory: 2Gi}
        maxAllowed: {cpu: "8", memory: 32Gi}
"""
DAEMON = DEPLOYMENT.replace("Deployment", "DaemonSet").replace(
    "    spec:\n", '    spec:\n      nodeSelector: {node-role.kubernetes.io/edge: ""}\n'
)
POD_LEVEL = DEPLOYMENT.replace("replicas: 1", "replicas: 3").replace(
    "    spec:\n", "    spec:\n      resources: {requests: {cpu: 4}}\n"
)


def with_gpu(key, value):
    return VPA.replace(f"        {key}: {{", f"        {key}: {{nvidia.com/gpu: {value}, ")


LISTED = {
    "a GPU as a resource metric": ({"L401"}, HPA + GPU),
    "a GPU as a resource metric of one container": (
        {"L401"},
        HPA + GPU.replace("Resource", "ContainerResource").replace(
            "resource:", "containerResource:\n        container: inference"),
    ),
    "a GPU beside other metrics, which then never scale in": ({"L401"}, HPA + GPU + QUEUE),
    "type Utilization with a plain average": (
        {"L403"}, HPA + QUEUE.replace("type: AverageValue", "type: Utilization")),
    "type Utilization without an average": (
        {"L402"}, HPA + QUEUE.replace("type: AverageValue", "type: Utilization").replace(
            'averageValue: "50"', "averageUtilization: 50")),
    "updateMode Auto": ({"L409"}, VPA.replace("Recreate", "Auto")),
    "updateMode InPlace, behind its gate": ({"L427"}, VPA.replace("Recreate", "InPlace")),
    "a GPU in minAllowed": ({"L408"}, with_gpu("minAllowed", 1)),
    "a GPU in maxAllowed": ({"L408"}, with_gpu("maxAllowed", 4)),
    "a GPU in controlledResources": (
        {"L408"}, VPA + '        controlledResources: ["cpu", "memory", "nvidia.com/gpu"]\n'),
    "beside resources of the pod": ({"L425"}, VPA + "---\n" + POD_LEVEL),
    "HPA and VPA on cpu": ({"L410"}, VPA + "---\n" + HPA + CPU),
    "a workload of one pod": ({"L411"}, VPA + "---\n" + DEPLOYMENT),
    "the pod of an edge device": ({"L412"}, VPA.replace("Deployment", "DaemonSet") + "---\n" + DAEMON),
    "all of it at once": (
        {"L401", "L408", "L409", "L410", "L407", "L421"},
        "---\n".join([DEPLOYMENT, HPA + CPU + GPU + QUEUE, with_gpu("maxAllowed", 4).replace("Recreate", "Auto")]),
    ),
}  # fmt: skip
"""Fault -> the codes that tell of it, and the file in which it comes."""
ERRORS = {"L401", "L402", "L407", "L408", "L410"}
"""What can never work is an error; what works otherwise than people think is a warning."""


@pytest.mark.parametrize("fault", LISTED)
def test_a_listed_fault_is_told(fault):
    expected, content = LISTED[fault]
    found = [each for each in lint(from_text(content, "copied.yaml")) if each.code.startswith("L4")]
    assert {each.code for each in found} == expected
    for problem in found:
        assert problem.place.line > 1
        assert (problem.severity is Severity.ERROR) == (problem.code in ERRORS)
        assert problem.why
        assert problem.cure


def test_the_reason_that_a_gpu_metric_never_comes_is_told():
    (problem,) = [each for each in lint(from_text(HPA + GPU + QUEUE, "hpa.yaml")) if each.code == "L401"]
    assert "metrics.k8s.io" in problem.message
    assert "only scale out" in problem.message
    assert "FailedGetResourceMetric" in problem.why
    assert "100 %" in problem.why


def test_what_the_notes_recommend_instead_is_silent():
    good = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: serve, namespace: edge}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: serve}
  minReplicas: 2
  maxReplicas: 16
  metrics:
    - type: External
      external:
        metric: {name: tier_gpu_util_avg, selector: {matchLabels: {tier: edge}}}
        target: {type: Value, value: "55"}
  behavior:
    scaleUp:
      tolerance: "0.4545"
      stabilizationWindowSeconds: 30
      selectPolicy: Max
      policies:
        - {type: Percent, value: 100, periodSeconds: 30}
        - {type: Pods, value: 4, periodSeconds: 30}
    scaleDown:
      tolerance: "0.4545"
      stabilizationWindowSeconds: 300
      policies: [{type: Percent, value: 25, periodSeconds: 60}]
---
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: sync-agent, namespace: edge}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: sync-agent}
  updatePolicy: {updateMode: InPlaceOrRecreate, minReplicas: 1}
  resourcePolicy:
    containerPolicies:
      - containerName: agent
        controlledResources: [cpu, memory]
        controlledValues: RequestsOnly
        minAllowed: {cpu: 50m, memory: 64Mi}
        maxAllowed: {cpu: "2", memory: 2Gi}
"""
    assert lint(from_text(good, "good.yaml")) == ()


@pytest.mark.parametrize("notes", ["test_volcano_facts.py", "test_kubeedge_facts.py"])
def test_the_other_notes_have_their_tests(notes):
    assert "lint" in Path(__file__).with_name(notes).read_text(encoding="utf-8")
