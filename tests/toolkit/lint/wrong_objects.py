"""Good objects of many kinds, and one change each that makes them wrong: for our schemas and for a real API server."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

GOLDEN = Path(__file__).parents[2] / "golden" / "hospital" / "objects.yaml"
NAMESPACE = "schema-corpus"
DROP = "<take it away>"
LABELS = {"app": "viewer"}
POD = {
    "metadata": {"labels": LABELS},
    "spec": {
        "containers": [
            {
                "name": "main",
                "image": "registry.example/viewer:1",
                "ports": [{"name": "http", "containerPort": 8080}],
                "env": [{"name": "MODE", "value": "fast"}],
                "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}},
                "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}, "periodSeconds": 5},
                "volumeMounts": [{"name": "spool", "mountPath": "/spool"}],
            }
        ],
        "volumes": [{"name": "spool", "emptyDir": {"sizeLimit": "1Gi"}}],
        "tolerations": [{"key": "tiers.dev/tier", "operator": "Exists", "effect": "NoSchedule"}],
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
    },
}
MORE = (
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "viewer", "labels": LABELS},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": LABELS},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
            "template": POD,
        },
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "viewer"},
        "spec": {
            "selector": LABELS,
            "type": "ClusterIP",
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        },
    },
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "data": {"token": "aGVsbG8="}},
    {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "batch"},
        "spec": {"hard": {"requests.nvidia.com/gpu": "8", "pods": "200"}},
    },
    {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "viewer"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "viewer"},
            "minReplicas": 2,
            "maxReplicas": 16,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
                }
            ],
            "behavior": {
                "scaleUp": {
                    "selectPolicy": "Max",
                    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 30}],
                }
            },
        },
    },
    {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "viewer"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": LABELS}},
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "operators"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tiers"},
        "subjects": [{"kind": "User", "name": "ada", "apiGroup": "rbac.authorization.k8s.io"}],
    },
    {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once"},
        "spec": {"backoffLimit": 2, "template": {"spec": {**POD["spec"], "restartPolicy": "Never"}}},
    },
)  # fmt: skip


@dataclass(frozen=True)
class Wrong:
    """One change that makes a good object wrong."""

    kind: str
    path: str
    """Keys apart by /; a number is a place in a list."""
    value: object
    code: str
    """What our schemas say; empty where they say nothing."""
    why_not: str = ""
    """Why our schemas say nothing though the server refuses."""

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.path}-{str(self.value)[:20]}"

    def body(self) -> dict:
        """Give the object with the change."""
        body = good()[self.kind]
        *above, last = (
            int(part) if part.isdigit() else part.replace("|", "/") for part in self.path.split("/")
        )
        inside = body
        for part in above:
            inside = inside[part]
        if self.value is DROP:
            del inside[last]
        elif isinstance(inside, list) and last == len(inside):
            inside.append(self.value)
        else:
            inside[last] = self.value
        return body


@cache
def _golden() -> list[dict]:
    return list(yaml.load_all(GOLDEN.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader))


def good() -> dict[str, dict]:
    """Give one good object a kind, all in one namespace; those above first, then of the golden file."""
    found: dict[str, dict] = {}
    for body in copy.deepcopy([*MORE, *_golden()]):
        gang = body["apiVersion"].startswith("batch.volcano.sh")
        if body["kind"] not in {"Namespace", "PriorityClass", "NodeGroup", "Queue"}:
            body["metadata"]["namespace"] = NAMESPACE
        if gang:
            body["spec"]["queue"] = "default"  # the only one that is surely there
        found.setdefault("Gang" if gang else body["kind"], body)
    return found


AGREE = "two fields that must agree, which a schema cannot say"
KIND = "which words a pod takes depends on the kind around it"
RULES = "rules about pods say it, not the schema"
TASK, WORKER = "spec/tasks/0", "spec/tasks/0/template/spec/containers/0"
MAIN, DEVICE = "spec/template/spec/containers/0", "spec/template/spec"
CONTAINER = {"name": "main", "image": "registry.example/viewer:2"}

WRONG = (
    # unknown fields and kinds
    Wrong("Deployment", "spec/replica", 3, "L002"),
    Wrong("Deployment", f"{MAIN}/imagePullPolcy", "Always", "L002"),
    Wrong("Deployment", "metadata/lables", {"a": "b"}, "L002"),
    Wrong("Queue", "spec/capabilty", {"cpu": "1"}, "L002"),
    Wrong("Queue", "metadata/lables", {"a": "b"}, "L002"),
    Wrong("NodeGroup", "spec/matchLabel", {"a": "b"}, "L002"),
    Wrong("Gang", f"{TASK}/replica", 4, "L002"),
    Wrong("Gang", f"{WORKER}/imagePullPolcy", "Always", "L002"),
    Wrong("Gang", "specs", {}, "L002"),
    Wrong("Deployment", "kind", "Deploymnt", "L001"),
    Wrong("Queue", "apiVersion", "scheduling.volcano.sh/v1", "L001"),
    Wrong("HorizontalPodAutoscaler", "apiVersion", "autoscaling/v2beta2", "L001"),
    # wrong types
    Wrong("Deployment", "spec/replicas", "two", "L003"),
    Wrong("ConfigMap", "data/size", 7, "L003"),
    Wrong("Deployment", f"{MAIN}/env/0/value", 1, "L003"),
    Wrong("Deployment", f"{MAIN}/ports/0/containerPort", "8080", "L003"),
    Wrong("Queue", "spec/reclaimable", "yes", "L003"),
    Wrong("Queue", "spec/capability", ["cpu"], "L003"),
    Wrong("Gang", "spec/minAvailable", "4", "L003"),
    Wrong("NodeGroup", "spec", "all", "L003"),
    Wrong("Gang", "spec/tasks", {}, "L003"),
    # what is missing
    Wrong("Deployment", "spec/selector", DROP, "L004"),
    Wrong("Deployment", f"{MAIN}/name", DROP, "L004"),
    Wrong("Deployment", "metadata/name", DROP, "L004"),
    Wrong("Deployment", "spec/template/spec", DROP, "L004"),
    Wrong("HorizontalPodAutoscaler", "spec/maxReplicas", DROP, "L004"),
    Wrong("Gang", f"{WORKER}/name", DROP, "L004"),
    Wrong("Service", "spec/ports", DROP, "L004"),
    # words
    Wrong("Deployment", "spec/strategy/type", "Rolling", "L005"),
    Wrong("Deployment", f"{MAIN}/imagePullPolicy", "Sometimes", "L005"),
    Wrong("Deployment", "spec/template/spec/tolerations/0/effect", "NoSchedul", "L005"),
    Wrong("DaemonSet", "spec/updateStrategy/type", "WhenTold", "L005"),
    Wrong("Gang", "spec/policies/0/event", "PodEvict", "L005"),
    Wrong("Queue", "spec/dequeueStrategy", "lifo", "L005"),
    Wrong("HorizontalPodAutoscaler", "spec/metrics/0/type", "Bogus", "L005"),
    Wrong("HorizontalPodAutoscaler", "spec/behavior/scaleUp/selectPolicy", "Most", "L005"),
    Wrong("PriorityClass", "preemptionPolicy", "Bogus", "L005"),
    Wrong("Service", "spec/type", "Internal", "L005"),
    Wrong("PodDisruptionBudget", "spec/unhealthyPodEvictionPolicy", "Never", "L005"),
    # limits and shapes
    Wrong("Deployment", "spec/replicas", -1, "L006"),
    Wrong("Deployment", "spec/replicas", 2**31, "L006"),
    Wrong("Deployment", f"{MAIN}/ports/0/containerPort", 70000, "L006"),
    Wrong("Deployment", f"{MAIN}/ports/0/name", "a-name-that-is-too-long", "L006"),
    Wrong("Deployment", "metadata/name", "Bad_Name", "L006"),
    Wrong("Namespace", "metadata/name", "has.dots", "L006"),
    Wrong("Service", "metadata/name", "has.dots", "L006"),
    Wrong("Deployment", "metadata/labels", {"room": "7 north"}, "L006"),
    Wrong("Deployment", "metadata/labels", {"-room": "7"}, "L006"),
    Wrong("Deployment", "spec/template/spec/containers", [], "L006"),
    Wrong("Deployment", f"{MAIN}/name", "Main", "L006"),
    Wrong("Queue", "spec/weight", 70_000, "L006"),
    Wrong("Queue", "metadata/name", "Research", "L006"),
    Wrong("PriorityClass", "value", 1_000_000_001, "L006"),
    Wrong("ConfigMap", "data/a b", "x", "L006"),
    Wrong("Secret", "data/token", "not base64!", "L006"),
    Wrong("HorizontalPodAutoscaler", "spec/behavior/scaleUp/policies/0/periodSeconds", 3600, "L006"),
    Wrong("Gang", f"{TASK}/name", "Worker_1", "L006"),
    # amounts
    Wrong("Deployment", f"{MAIN}/resources/requests/cpu", "12banana", "L007"),
    Wrong("Queue", "spec/capability/nvidia.com|gpu", "many", "L007"),
    Wrong("Gang", f"{WORKER}/resources/limits/memory", "64GiB", "L007"),
    Wrong("ResourceQuota", "spec/hard/pods", "lots", "L007"),
    Wrong("Deployment", f"{DEVICE}/volumes/0/emptyDir/sizeLimit", "1GB", "L007"),
    # twice in a list
    Wrong("Deployment", "spec/template/spec/containers/1", CONTAINER, "L008"),
    Wrong("Service", "spec/ports/1", {"name": "b", "port": 80, "protocol": "TCP"}, "L008"),
    Wrong("Deployment", "spec/template/spec/volumes/1", {"name": "spool", "emptyDir": {}}, "L008"),
    # what the server knows beyond schemas
    Wrong("Deployment", "spec/selector/matchLabels", {"app": "other"}, "", AGREE),
    Wrong("Deployment", f"{MAIN}/volumeMounts/0/name", "spol", "", RULES),
    Wrong("Deployment", f"{MAIN}/resources/requests/memory", "2Gi", "", RULES),
    Wrong("DaemonSet", f"{DEVICE}/restartPolicy", "Never", "", KIND),
    Wrong("Job", f"{DEVICE}/restartPolicy", "Always", "", KIND),
    Wrong("HorizontalPodAutoscaler", "spec/minReplicas", 20, "", AGREE),
    Wrong("PodDisruptionBudget", "spec/minAvailable", 1, "", AGREE),
    Wrong(
        "Gang",
        "spec/tasks/1",
        {"name": "worker", "replicas": 1, "template": POD},
        "",
        "Volcano's webhook: rule L103",
    ),
)
"""Every entry is refused by a real server; a test holds the two together."""
