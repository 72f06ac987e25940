"""Jobs as people write them, most of them wrong: a right Volcano Job that is changed in none to three places.

`jobs` is a hypothesis strategy; each value is the job together with the names of its changes. The places and values
are those of volcano-sh/volcano v1.15.1's webhook, of its CRD, and of the pod template; right values stand among them,
so that a rule that refuses too much is found as well. The names of queues, priority classes and namespaces are those of
`corpus_surroundings.yaml`.
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

Job = dict[str, Any]
DROP = "take this key away"
IMAGE = "registry.example/train:1.0@sha256:" + "0" * 64
NEEDED = "requiredDuringSchedulingIgnoredDuringExecution"
WISHED = "preferredDuringSchedulingIgnoredDuringExecution"
EVICTED = {"event": "PodEvicted", "action": "RestartJob"}
FAILED = {"event": "PodFailed", "action": "TerminateJob"}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}

POLICIES = [
    EVICTED,
    FAILED,
    {"exitCode": 143, "action": "RestartJob"},
    {"exitCode": 1, "action": "AbortJob"},
    {"event": "TaskCompleted", "action": "CompleteJob"},
    {"event": "PodPending", "action": "AbortJob", "timeout": "1h30m"},
    {"event": "Unknown", "action": "RestartTask"},
    {"events": ["PodEvicted", "PodFailed"], "action": "RestartJob"},
    {"events": ["PodFailed", "PodFailed"], "action": "RestartPod"},
    {"event": "PodFailed", "events": ["PodFailed"], "action": "RestartPod"},
    {"event": "*", "action": "RestartJob"},
    {"exitCode": 0, "action": "RestartJob"},
    {"exitCode": 7, "action": "SyncJob"},
    {"exitCode": "7", "action": "RestartJob"},
    {"exitCode": 3, "event": "PodFailed", "action": "RestartJob"},
    {"action": "RestartJob"},
    {"event": "PodRunning", "action": "RestartJob"},
    {"event": "OutOfSync", "action": "RestartJob"},
    {"event": "PodKilled", "action": "RestartJob"},
    {"event": "", "exitCode": 9, "action": "RestartJob"},
    {"event": "PodFailed", "action": "restartJob"},
    {"event": "PodFailed", "action": "EnqueueJob"},
    {"event": "PodFailed"},
    {"event": "PodPending", "action": "AbortJob", "timeout": "90"},
    {"event": "PodPending", "action": "AbortJob", "timeout": 90},
    {"event": "PodPending", "action": "AbortJob", "timeout": "1 hour"},
]

JOB: dict[tuple[str | int, ...], list[Any]] = {
    ("metadata", "name"): [
        "a",
        "train-2",
        "3d-train",
        "train.v2",
        "t" * 45,
        "t" * 50,
        "t" * 52,
        "t" * 59,
        "t" * 60,
        "t" * 63,
        "t" * 64,
        "Train",
        "train_2",
        "-train",
        "train-",
    ],
    ("metadata", "namespace"): ["corpus-quota", "corpus-limits"],
    ("spec", "minAvailable"): [0, 1, 2, 3, 50, -1, "2", None],
    ("spec", "maxRetry"): [0, 100, -1, "3"],
    ("spec", "minSuccess"): [1, 2, 0],
    ("spec", "ttlSecondsAfterFinished"): [0, 60, -5, 2**31],
    ("spec", "schedulerName"): ["volcano", "", "s" * 63, "s" * 64, 7],
    ("spec", "runningEstimate"): ["1h", "1.5h", "-2m", "1 hour", "60", 60],
    ("spec", "queue"): [
        "default",
        "corpus-child",
        "corpus-one-gpu",
        "corpus-six-cores",
        "corpus-nowhere",
        "corpus-closed",
        "corpus-parent",
        "root",
        "Corpus",
        "",
        DROP,
    ],
    ("spec", "priorityClassName"): ["corpus-batch", "system-node-critical", "corpus-nothing", "Batch", ""],
    ("spec", "networkTopology"): [
        {"mode": "soft"},
        {"mode": "hard", "highestTierAllowed": 1},
        {"highestTierName": "rack"},
        {},
        {"highestTierAllowed": 1, "highestTierName": "rack"},
        {"mode": "firm"},
        {"highestTierAllowed": -1},
    ],
    ("spec", "plugins"): [
        {},
        {"env": [], "svc": [], "ssh": []},
        {"svc": ["--disable-network-policy=true"]},
        {"hcclrank": []},
        {"mpi": []},
        {"mpi": ["--master=worker"]},
        {"mpi": ["--master", "worker"]},
        {"mpi": ["--port=2222", "--master=w"]},
        {"mpi": ["--what=1", "--master=worker"]},
        {"pytorch": ["--master=worker"]},
        {"tensorflow": []},
        {"ray": []},
        {"torch": []},
        {"Env": []},
        {"svc": "x"},
        {"svc": [1]},
        {"svc": None},
        DROP,
    ],
    ("spec", "volumes"): [
        [{"mountPath": "/data", "volumeClaimName": "one"}],
        [{"mountPath": "/data", "volumeClaim": CLAIM}],
        [{"mountPath": "/data", "volumeClaim": {}}],
        [{"mountPath": "/data"}],
        [{"mountPath": "", "volumeClaim": CLAIM}],
        [{"volumeClaim": CLAIM}],
        [{"mountPath": "/a:b", "volumeClaimName": "one"}],
        [{"mountPath": "/data", "volumeClaimName": "One"}],
        [{"mountPath": "/data", "volumeClaimName": "one", "volumeClaim": CLAIM}],
        [{"mountPath": "/d", "volumeClaimName": "one"}, {"mountPath": "/d", "volumeClaimName": "two"}],
        [{"mountPath": "/cache", "volumeClaimName": "one"}],
    ],
    ("spec", "unknownKey"): [1],
}
"""Place in the job → values that people write there."""

TASK: dict[tuple[str | int, ...], list[Any]] = {
    ("name",): [
        "worker",
        "master",
        "w",
        "w" * 40,
        "w" * 57,
        "w" * 63,
        "w" * 64,
        "Worker",
        "my_task",
        "",
        DROP,
        7,
    ],
    ("replicas",): [0, 1, 3, 4, 6, 11, -1, "2", 1.5, DROP],
    ("minAvailable",): [0, 1, 2, 5, -1, "1"],
    ("maxRetry",): [0, 3, -1],
    ("topologyPolicy",): ["none", "best-effort", "restricted", "single-numa-node", "numa", ""],
    ("dependsOn",): [
        {"name": []},
        {},
        {"name": ["worker"]},
        {"name": ["master"]},
        {"name": ["reader", "reader"]},
        {"name": ["nobody"]},
        {"name": ["reader"]},
        {"name": ["reader"], "iteration": "any"},
        {"name": "reader"},
    ],
    ("partitionPolicy",): [
        {"totalPartitions": 1, "partitionSize": 2},
        {"totalPartitions": 2, "partitionSize": 1, "minPartitions": 1},
        {"totalPartitions": 2, "partitionSize": 2},
        {"totalPartitions": 0, "partitionSize": 2},
        {"totalPartitions": 2},
        {"totalPartitions": 1, "partitionSize": 2, "minPartitions": 2},
        {},
        {
            "totalPartitions": 2,
            "partitionSize": 1,
            "networkTopology": {"highestTierAllowed": 1, "highestTierName": "r"},
        },
    ],
    ("template", "metadata"): [
        {"labels": {"app": "train"}},
        {"labels": {"version": 2}},
        {"labels": {"app": "a b"}},
        {"labels": {"a/b/c": "x"}},
        {"annotations": {"note": "any text: at all"}},
        {"annotations": {"count": 3}},
        {"annotations": {"no key": "x"}},
        {"labels": {"app": ""}},
        {"labels": {"-app": "x"}},
    ],
}
"""Place in a task → values."""

POD: dict[tuple[str | int, ...], list[Any]] = {
    ("restartPolicy",): ["Always", "OnFailure", "never", "", DROP],
    ("dnsPolicy",): ["Default", "ClusterFirst", "Cluster", "None", ""],
    ("dnsConfig",): [
        {"nameservers": ["192.0.2.1"]},
        {"nameservers": ["here"]},
        {"nameservers": ["192.0.2.1"] * 4},
    ],
    ("preemptionPolicy",): ["Never", "PreemptLowerPriority", "Sometimes"],
    ("hostNetwork",): [True, False],
    ("nodeSelector",): [
        {"tiers.dev/pool": "h100"},
        {"tiers.dev/pool": "a1000"},
        {"tiers.dev/tier": "hot"},
        {"disk type": "x"},
        {"gpu": "yes no"},
        {"gpu": True},
        {"gpu": 1},
        DROP,
    ],
    ("tolerations",): [
        [{"key": "k", "operator": "Exists"}],
        [{"operator": "Exists"}],
        [{"key": "k", "value": "v", "effect": "NoSchedule"}],
        [{"key": "k", "operator": "Exists", "value": "v"}],
        [{"effect": "NoSchedule"}],
        [{"key": "k", "operator": "Is"}],
        [{"key": "k", "effect": "Never"}],
        [{"key": "k", "tolerationSeconds": 5}],
        [{"key": "k k", "operator": "Exists"}],
        [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
        [{"key": "k", "value": "v v"}],
    ],
    ("affinity",): [
        {"nodeAffinity": {NEEDED: {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}}
        for expression in (
            {"key": "tiers.dev/pool", "operator": "In", "values": ["a100", "h100"]},
            {"key": "tiers.dev/pool", "operator": "In"},
            {"key": "tiers.dev/pool", "operator": "In", "values": ["a1000"]},
            {"key": "tiers.dev/pool", "operator": "Exists", "values": ["a100"]},
            {"key": "tiers.dev/pool", "operator": "Exists"},
            {"key": "tiers.dev/pool", "operator": "in", "values": ["a100"]},
            {"key": "size", "operator": "Gt", "values": ["1", "2"]},
            {"key": "node-role.kubernetes.io/edge", "operator": "DoesNotExist"},
            {"key": "a b", "operator": "Exists"},
            {"key": "zone", "operator": "NotIn", "values": ["a b"]},
        )
    ]
    + [
        {"nodeAffinity": {NEEDED: {"nodeSelectorTerms": []}}},
        {
            "nodeAffinity": {
                WISHED: [
                    {"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}
                ]
            }
        },
        {
            "nodeAffinity": {
                WISHED: [
                    {"weight": 0, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}
                ]
            }
        },
        {"podAntiAffinity": {NEEDED: [{"topologyKey": "kubernetes.io/hostname"}]}},
        {"podAntiAffinity": {NEEDED: [{"topologyKey": ""}]}},
        {"podAffinity": {WISHED: [{"weight": 101, "podAffinityTerm": {"topologyKey": "zone"}}]}},
        {"podAffinity": {WISHED: [{"weight": 10, "podAffinityTerm": {"topologyKey": "zone"}}]}},
    ],
    ("topologySpreadConstraints",): [
        [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        [{"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "Wait"}],
        [{"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}],
        [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2}],
        [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}] * 2,
    ],
    ("securityContext",): [
        {"runAsUser": 1000, "fsGroup": 0},
        {"runAsUser": -1},
        {"runAsGroup": 2**31},
        {"runAsNonRoot": "yes"},
        {"seccompProfile": {"type": "RuntimeDefault"}},
        {"seccompProfile": {"type": "None"}},
        {"seccompProfile": {}},
        {"seccompProfile": {"type": "Localhost"}},
        {"seccompProfile": {"type": "Unconfined", "localhostProfile": "x"}},
    ],
    ("serviceAccountName",): ["default", "Trainer", "my account", ""],
    ("runtimeClassName",): ["Nvidia"],
    ("hostname",): ["host", "Host", "h.h", ""],
    ("subdomain",): ["sub", "sub.domain"],
    ("activeDeadlineSeconds",): [60, 0, -1],
    ("terminationGracePeriodSeconds",): [0, 120, "30"],
    ("priorityClassName",): ["corpus-batch", "corpus-nothing", "Batch"],
    ("volumes",): [
        [{"name": "data", "emptyDir": {}}],
        [{"name": "data", "emptyDir": {}}] * 2,
        [{"name": "Data", "emptyDir": {}}],
        [{"name": "data", "emptyDir": {}, "hostPath": {"path": "/d"}}],
        [{"name": "data", "hostPath": {"path": "/a/../b"}}],
        [{"name": "data", "hostPath": {}}],
        [{"name": "data", "persistentVolumeClaim": {}}],
        [{"emptyDir": {}}],
        [{"name": "data", "configMap": {"name": "c"}}],
        [{"name": "data", "configMap": {}}],
        [{"name": "data", "secret": {"secretName": "s"}}],
        [{"name": "data", "secret": {}}],
        [{"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}],
        [{"name": "data", "emptyDir": {"sizeLimit": "large"}}],
        [{"name": "data"}],
    ],
    ("hostAliases",): [
        [{"ip": "192.0.2.1", "hostnames": ["a.b"]}],
        [{"ip": "x"}],
        [{"ip": "192.0.2.1", "hostnames": ["A"]}],
    ],
    ("initContainers",): [
        [{"name": "stage", "image": "i"}],
        [{"name": "main", "image": "i"}],
        [{"name": "stage"}],
        [{"name": "stage", "image": "i", "livenessProbe": {"exec": {"command": ["ls"]}}}],
        [
            {
                "name": "stage",
                "image": "i",
                "restartPolicy": "Always",
                "livenessProbe": {"exec": {"command": ["ls"]}},
            }
        ],
        [{"name": "stage", "image": "i", "restartPolicy": "OnFailure"}],
        [{"name": "stage", "image": "i", "lifecycle": {"preStop": {"exec": {"command": ["ls"]}}}}],
    ],
    ("ephemeralContainers",): [[{"name": "debug", "image": "i"}]],
    ("containers",): [
        [],
        DROP,
        [{"name": "main", "image": "i"}, {"name": "main", "image": "i"}],
        [{"name": "main", "image": "i"}, {"name": "other", "image": "i"}],
    ],
}
"""Place in the pod spec → values."""

CONTAINER: dict[tuple[str | int, ...], list[Any]] = {
    ("name",): ["main-2", "Main", "my_main", "m" * 64, "", DROP],
    ("image",): ["busybox", "", DROP],
    ("command",): [["python"], "python", ["python", 3]],
    ("args",): [["--lr=1"], "--lr=1", [0.1]],
    ("imagePullPolicy",): ["Always", "IfNotPresent", "always", ""],
    ("terminationMessagePolicy",): ["File", "file"],
    ("restartPolicy",): ["Always"],
    ("env",): [
        [{"name": "A", "value": "1"}],
        [{"name": "A", "value": 1}],
        [{"name": "A", "value": True}],
        [{"name": "A B", "value": ""}],
        [{"name": "1A", "value": "x"}],
        [{"value": "x"}],
        [{"name": "A"}],
        [{"name": "A", "valueFrom": {}}],
        [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
        [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
        [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "S", "key": "k"}}}],
        [{"name": "A", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
    ],
    ("ports",): [
        [{"containerPort": 80}],
        [{"containerPort": 70000}],
        [{"containerPort": 0}],
        [{"name": "http"}],
        [{"containerPort": 80, "name": "http"}, {"containerPort": 81, "name": "http"}],
        [{"containerPort": "80"}],
        [{"containerPort": 80, "name": "the-metrics-port"}],
        [{"containerPort": 80, "name": "80"}],
        [{"containerPort": 80, "protocol": "HTTP"}],
        [{"containerPort": 80, "protocol": "UDP"}],
        [{"containerPort": 80}, {"containerPort": 80}],
        [{"containerPort": 80, "hostPort": 8080}],
        [{"containerPort": 80, "hostPort": 90000}],
        [{"containerPort": 80, "hostPort": 90}, {"containerPort": 81, "hostPort": 90}],
    ],
    ("resources",): [
        {},
        {"requests": {"cpu": "500m"}},
        {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
        {"requests": {"cpu": "two"}},
        {"requests": {"cpu": "-1"}},
        {"limits": {"nvidia.com/gpu": 2}},
        {"limits": {"nvidia.com/gpu": "0.5"}},
        {"requests": {"nvidia.com/gpu": 1}},
        {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2}},
        {"requests": {"memory": "4GB"}},
        {"requests": {"memory": "4Gi", "cpu": 3}},
        {"limits": {"gpu": 1}},
        {"limits": {"rdma/hca": 1}},
        {"limits": {"rdma/hca": "1500m"}},
        {"requests": {"cpu": 1.5}},
        {"requests": {"disk": "1Gi"}},
        {"limits": {"nvidia.com/gpu": 9}},
        {"requests": {"memory": "1e9", "ephemeral-storage": "1Gi"}},
        {"limits": {"memory": "1Gi", "cpu": "1", "nvidia.com/gpu": "8"}},
        {"limits": {"hugepages-2Mi": "2Mi"}},
        {"requests": {"cpu": "300"}},
        {"requests": {"memory": "1.5Ti"}},
        {"requests": {"pods": 1}},
    ],
    ("volumeMounts",): [
        [{"name": "data", "mountPath": "/data"}],
        [{"name": "gone", "mountPath": "/data"}],
        [{"name": "scratch"}],
        [{"name": "scratch", "mountPath": "/cache"}, {"name": "scratch", "mountPath": "/cache"}],
        [{"name": "scratch", "mountPath": "/cache", "subPath": "../x"}],
        [{"name": "scratch", "mountPath": "/c", "subPath": "a"}],
        [{"name": "scratch", "mountPath": "/etc/volcano"}],
        [{"name": "scratch", "mountPath": "/data"}],
    ],
    ("securityContext",): [
        {"privileged": True},
        {"privileged": True, "allowPrivilegeEscalation": False},
        {"runAsUser": -5},
        {"allowPrivilegeEscalation": False, "capabilities": {"add": ["CAP_SYS_ADMIN"]}},
        {"privileged": "yes"},
        {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        {"seccompProfile": {"type": "Localhost"}},
    ],
    **{
        (probe,): [
            {"httpGet": {"path": "/", "port": 80}},
            {"httpGet": {"port": "http"}},
            {"httpGet": {"path": "/"}},
            {},
            {"exec": {"command": []}},
            {"tcpSocket": {"port": 0}},
            {"exec": {"command": ["ls"]}, "tcpSocket": {"port": 80}},
            {"tcpSocket": {"port": 80}, "periodSeconds": -1},
            {"tcpSocket": {"port": 80}, "successThreshold": 2},
            {"httpGet": {"port": 80, "scheme": "FTP"}},
            {"grpc": {"port": 99}},
            {"tcpSocket": {"port": 80}, "terminationGracePeriodSeconds": 5},
        ]
        for probe in ("livenessProbe", "readinessProbe", "startupProbe")
    },
    ("lifecycle",): [
        {"preStop": {"exec": {"command": ["sync"]}}},
        {"preStop": {}},
        {"preStop": {"sleep": {"seconds": 5}}},
        {"preStop": {"sleep": {"seconds": 0}}},
        {"preStop": {"sleep": {"seconds": 90}}},
    ],
}
"""Place in a container → values."""

PLACES = [
    *(((), path, values) for path, values in JOB.items()),
    *((("spec", "tasks", None), path, values) for path, values in TASK.items()),
    *((("spec", "tasks", None, "template", "spec"), path, values) for path, values in POD.items()),
    *(
        (("spec", "tasks", None, "template", "spec", "containers", 0), path, values)
        for path, values in CONTAINER.items()
    ),
]
"""(where it begins, with None for any task; the place from there; values)."""


def right_job(tasks: int, gpus: int, *, replicas: int = 2, cores: int = 1) -> Job:
    """Give a job that every cluster like the hospital takes and starts."""
    resources = {
        "requests": {"cpu": str(cores), "memory": "1Gi"},
        "limits": {"cpu": str(cores), "memory": "1Gi"},
    }
    if gpus:
        resources["limits"]["nvidia.com/gpu"] = gpus
    pod = {
        "restartPolicy": "Never",
        "nodeSelector": {"tiers.dev/pool": "a100"},
        "volumes": [{"name": "scratch", "emptyDir": {}}],
        "containers": [{"name": "main", "image": IMAGE, "resources": resources}],
    }
    names = ["worker", "reader"][:tasks]
    return {
        "apiVersion": "batch.volcano.sh/v1alpha1",
        "kind": "Job",
        "metadata": {"name": "train", "namespace": "corpus"},
        "spec": {
            "queue": "corpus-open",
            "plugins": {"env": [], "svc": []},
            "policies": [EVICTED, FAILED],
            "tasks": [
                {"name": name, "replicas": replicas, "template": {"spec": copy.deepcopy(pod)}}
                for name in names
            ],
        },
    }


@st.composite
def jobs(draw: st.DrawFn) -> tuple[Job, tuple[str, ...]]:
    """Draw a job with none to three changes; the names of the changes say what was written where."""
    job = right_job(
        draw(st.integers(1, 2)),
        draw(st.integers(0, 2)),
        replicas=draw(st.integers(1, 4)),
        cores=draw(st.integers(1, 4)),
    )
    changes = []
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.integers(0, 9))
        if kind == 0:
            listed = draw(st.lists(st.sampled_from(POLICIES), min_size=1, max_size=3))
            changes.append(
                _put(job, draw(st.sampled_from([("spec",), ("spec", "tasks", 0)])), ("policies",), listed)
            )
        elif kind == 1 and len(job["spec"]["tasks"]) > 1:
            again = draw(st.sampled_from(["worker", "master", "reader"]))
            changes.append(_put(job, ("spec", "tasks", 1), ("name",), again))
        else:
            start, path, values = draw(st.sampled_from(PLACES))
            task = draw(st.integers(0, len(job["spec"]["tasks"]) - 1))
            begin = tuple(task if part is None else part for part in start)
            changes.append(_put(job, begin, path, draw(st.sampled_from(values))))
    return job, tuple(changes)


def _put(job: Job, begin: tuple[Any, ...], path: tuple[Any, ...], value: object) -> str:
    """Write a value into a job; where an earlier change took the place away, leave it be."""
    target: Any = job
    try:
        for part in begin:
            target = target[part]
        for part in path[:-1]:
            target = target.setdefault(part, {})
    except (KeyError, IndexError, TypeError):
        return "nothing"
    if value == DROP:
        target.pop(path[-1], None)
    else:
        target[path[-1]] = copy.deepcopy(value)
    return f"{'.'.join(map(str, (*begin, *path)))} = {value!r}"
