"""Good objects to spoil: each test changes one thing and expects the one rule that speaks about it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from toolkit.lint.check import lint
from toolkit.lint.document import from_objects

Body = dict[str, object]

CONTAINER: Body = {
    "name": "main",
    "image": "registry.example/app:1.0@sha256:" + "0" * 64,
    "imagePullPolicy": "IfNotPresent",
    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
    "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
}
POD: Body = {
    "automountServiceAccountToken": False,
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [CONTAINER],
}
WORKER_POD: Body = {**POD, "restartPolicy": "Never", "terminationGracePeriodSeconds": 120}
EDGE_POD: Body = {
    **POD,
    "nodeSelector": {"kubernetes.io/arch": "arm64", "node-role.kubernetes.io/edge": ""},
    "tolerations": [
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"},
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
    ],
}
GANG: Body = {
    "apiVersion": "batch.volcano.sh/v1alpha1",
    "kind": "Job",
    "metadata": {"name": "train", "namespace": "research"},
    "spec": {
        "minAvailable": 4,
        "maxRetry": 100,
        "ttlSecondsAfterFinished": 3600,
        "plugins": {"env": [], "svc": []},
        "policies": [
            {"exitCode": 143, "action": "RestartJob"},
            {"event": "PodEvicted", "action": "RestartJob"},
            {"event": "PodFailed", "action": "TerminateJob"},
        ],
        "tasks": [{"name": "worker", "replicas": 4, "template": {"spec": WORKER_POD}}],
    },
}
QUEUE: Body = {
    "apiVersion": "scheduling.volcano.sh/v1beta1",
    "kind": "Queue",
    "metadata": {"name": "research"},
    "spec": {
        "weight": 1,
        "guarantee": {"resource": {"nvidia.com/gpu": "8", "cpu": "500m"}},
        "deserved": {"nvidia.com/gpu": 16, "cpu": 1},
        "capability": {"nvidia.com/gpu": "32", "cpu": "1.5"},
    },
}
DEPLOYMENT: Body = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "viewer", "namespace": "edge"},
    "spec": {"template": {"spec": EDGE_POD}},
}
DAEMON_SET: Body = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "daemon", "namespace": "edge"},
    "spec": {"updateStrategy": {"type": "OnDelete"}, "template": {"spec": EDGE_POD}},
}
GOOD = {"gang": GANG, "queue": QUEUE, "deployment": DEPLOYMENT, "daemonset": DAEMON_SET}

DROP = object()
"""Put in place of a value, this takes the key away."""


def put(body: Body, path: tuple[str | int, ...], value: object) -> None:
    """Set or, with DROP, remove the value at a path."""
    target: object = body
    for part in path[:-1]:
        target = target[part]  # type: ignore[index]
    if value is DROP:
        del target[path[-1]]  # type: ignore[attr-defined]
    else:
        target[path[-1]] = value  # type: ignore[index]


@pytest.fixture
def good() -> dict[str, Body]:
    """Give a fresh copy of each good object."""
    return copy.deepcopy(GOOD)


@pytest.fixture
def drop() -> object:
    """Give the value that takes a key away."""
    return DROP


@pytest.fixture
def spoil() -> Callable[..., list[tuple[str, str]]]:
    """Give `spoil(which, path, value)`: the codes and places that lint finds in a good object after one change."""

    def change(which: str, path: tuple[str | int, ...], value: object) -> list[tuple[str, str]]:
        body = copy.deepcopy(GOOD[which])
        put(body, path, value)
        found = lint(from_objects([body]))
        return [(problem.code, str(problem.place).rpartition(" ")[2]) for problem in found]

    return change
