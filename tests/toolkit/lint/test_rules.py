"""Every rule has a bad example: one change to a good object, and exactly that rule speaks, at that place."""

from __future__ import annotations

import pytest

from tests.toolkit.lint.fault_reader import FAULTS
from toolkit.lint.check import RULES, lint
from toolkit.lint.document import from_objects

POLICIES = ("spec", "policies")
TASK = ("spec", "tasks", 0)
TASK_POD = (*TASK, "template", "spec")
WORKER = (*TASK_POD, "containers", 0)
POD = ("spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)
SECURITY = (*CONTAINER, "securityContext")
KEPT = ("spec", "guarantee", "resource")
EVICTED = {"event": "PodEvicted", "action": "RestartJob"}
FAILED = {"event": "PodFailed", "action": "TerminateJob"}
THERE = "spec.template.spec.containers[0]"
DROP = "take this key away"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"

# code, which object, where, what, place of the finding
BAD = [
    ("L101", "gang", (*TASK, "minAvailable"), 5, "spec.tasks[0].minAvailable"),
    ("L102", "gang", (*POLICIES, 0), {"exitCode": 0, "action": "RestartJob"}, "spec.policies[0].exitCode"),
    ("L102", "gang", (*POLICIES, 0), {"action": "RestartJob"}, "spec.policies[0]"),
    ("L102", "gang", (*POLICIES, 0), {"event": "PodRunning", "action": "RestartJob"}, "spec.policies[0]"),
    ("L120", "gang", (*POLICIES, 0), {"exitCode": 7, "action": "SyncJob"}, "spec.policies[0].action"),
    ("L102", "gang", (*POLICIES, 0), {"exitCode": 7, "event": "Unknown", "action": "AbortJob"}, "spec.policies[0]"),
    ("L102", "gang", (*POLICIES, 0), EVICTED, "spec.policies[1]"),
    ("L102", "gang", (*POLICIES, 0), {"events": "PodPending", "action": "AbortJob"}, "spec.policies[0].events"),
    ("L103", "gang", ("spec", "plugins", "torch"), [], "spec.plugins.torch"),
    ("L151", "gang", ("metadata", "name"), "3d-train", "metadata.name"),
    ("L105", "gang", (*TASK, "dependsOn"), {"name": ["master"]}, "spec.tasks[0].dependsOn"),
    ("L105", "gang", (*TASK, "dependsOn"), {"name": ["worker"]}, "spec.tasks[0].dependsOn"),
    ("L106", "gang", ("spec", "volumes"), [{"mountPath": "/data"}], "spec.volumes[0]"),
    ("L107", "gang", (*TASK, "partitionPolicy"), {"totalPartitions": 3}, "spec.tasks[0].partitionPolicy"),
    ("L111", "gang", ("spec", "minAvailable"), 3, "spec.minAvailable"),
    ("L112", "gang", POLICIES, [FAILED], "spec.policies"),
    ("L113", "gang", POLICIES, [EVICTED], "spec.policies"),
    ("L114", "gang", (*TASK_POD, "restartPolicy"), "OnFailure", "spec.tasks[0].template.spec.restartPolicy"),
    ("L115", "gang", (*POLICIES, 0), {"event": "PodPending", "action": "AbortJob"}, "spec.policies[0]"),
    ("L116", "gang", POLICIES, [EVICTED, FAILED, {"exitCode": 7, "action": "RestartJob"}], "spec.policies[2].exitCode"),
    ("L117", "gang", ("spec", "maxRetry"), 3, "spec.maxRetry"),
    ("L118", "gang", ("spec", "plugins", "pytorch"), [], "spec.plugins.pytorch"),
    ("L118", "gang", ("spec", "plugins", "pytorch"), ["--master=worker"], "spec.plugins.pytorch"),
    ("L119", "gang", ("spec", "ttlSecondsAfterFinished"), DROP, "spec"),
    ("L121", "queue", (*KEPT, "nvidia.com/gpu"), "17", "spec.guarantee.resource.nvidia.com/gpu"),
    ("L121", "queue", (*KEPT, "memory"), "1Gi", "spec.guarantee.resource.memory"),
    ("L121", "queue", ("spec", "deserved", "cpu"), "1600m", "spec.deserved.cpu"),
    ("L122", "queue", ("spec", "capability"), {"cpu": "2"}, "spec.capability"),
    ("L123", "queue", ("spec", "weight"), 70000, "spec.weight"),
    ("L124", "queue", ("spec", "parent"), "research", "spec.parent"),
    ("L201", "deployment", (*POD, "runtimeClassName"), "nvidia", "spec.template.spec.runtimeClassName"),
    ("L202", "deployment", (*POD, "automountServiceAccountToken"), DROP, "spec.template.spec"),
    ("L203", "deployment", (*POD, "tolerations"), [], "spec.template.spec.tolerations"),
    ("L204", "deployment", (*POD, "tolerations", 1, "tolerationSeconds"), 300, "spec.template.spec.tolerations[1]"),
    ("L205", "deployment", (*CONTAINER, "imagePullPolicy"), "Always", THERE),
    ("L206", "deployment", (*CONTAINER, "image"), "registry.example/app:1.0", f"{THERE}.image"),
    ("L207", "deployment", (*POD, "volumes"), [{"name": "v", "nfs": {}}], "spec.template.spec.volumes[0]"),
    ("L208", "deployment", (*POD, "hostNetwork"), True, "spec.template.spec.hostNetwork"),
    ("L209", "daemonset", ("spec", "updateStrategy", "type"), "RollingUpdate", "spec.updateStrategy"),
    ("L210", "daemonset", (*POD, "nodeSelector", "kubernetes.io/arch"), DROP, "spec.template.spec.nodeSelector"),
    ("L301", "gang", (*WORKER, "resources", "requests"), {"cpu": "1"}, None),
    ("L301", "daemonset", (*CONTAINER, "resources"), {"requests": {"cpu": "1"}}, f"{THERE}.resources"),
    ("L302", "daemonset", (*POD, "securityContext", "runAsNonRoot"), DROP, THERE),
    ("L303", "daemonset", (*SECURITY, "allowPrivilegeEscalation"), DROP, THERE),
    ("L303", "daemonset", SECURITY, {"privileged": True, "readOnlyRootFilesystem": True}, f"{THERE}.securityContext"),
    ("L304", "daemonset", (*POD, "securityContext", "seccompProfile"), {"type": "Unconfined"}, THERE),
    ("L305", "daemonset", (*SECURITY, "readOnlyRootFilesystem"), DROP, THERE),
    ("L306", "daemonset", (*CONTAINER, "env"), [{"name": "MQTT_PASSWORD", "value": "x"}], f"{THERE}.env[0]"),
    ("L307", "daemonset", (*CONTAINER, "resources", "requests", "nvidia.com/gpu"), "1", f"{THERE}.resources"),
    ("L308", "gang", (*WORKER, "resources", "limits", "nvidia.com/gpu"), "1", "spec.tasks[0].template.spec"),
    ("L104", "gang", (*TASK, "name"), "Worker", "spec.tasks[0].name"),
    ("L106", "gang", ("spec", "volumes"), [{"mountPath": "/a:b", "volumeClaimName": "c"}], "spec.volumes[0]"),
    ("L108", "gang", ("spec", "plugins", "mpi"), ["--master=boss"], "spec.plugins.mpi"),
    ("L109", "gang", ("spec", "networkTopology"), {"highestTierAllowed": 1, "highestTierName": "rack"},
     "spec.networkTopology"),
    ("L109", "gang", ("spec", "networkTopology"), {"mode": "firm"}, "spec.networkTopology.mode"),
    ("L110", "gang", (*TASK, "topologyPolicy"), "strict", "spec.tasks[0].topologyPolicy"),
    ("L131", "gang", ("spec", "minSuccess"), 0, "spec.minSuccess"),
    ("L132", "gang", ("spec", "queue"), "root", "spec.queue"),
    ("L133", "gang", ("spec", "priorityClassName"), "Batch", "spec.priorityClassName"),
    ("L134", "gang", (*POLICIES, 0, "timeout"), "an hour", "spec.policies[0].timeout"),
    ("L321", "gang", (*WORKER, "image"), "", "spec.tasks[0].template.spec.containers[0].image"),
    ("L321", "daemonset", (*CONTAINER, "name"), "Main", f"{THERE}.name"),
    ("L322", "daemonset", (*CONTAINER, "resources", "requests", "cpu"), "one", f"{THERE}.resources.requests.cpu"),
    ("L322", "daemonset", (*CONTAINER, "resources", "requests", "memory"), "2Gi",
     f"{THERE}.resources.requests.memory"),
    ("L323", "daemonset", (*CONTAINER, "env"), [{"name": "A", "value": 1}], f"{THERE}.env[0].value"),
    ("L324", "daemonset", (*CONTAINER, "ports"), [{"containerPort": 70000}], f"{THERE}.ports[0].containerPort"),
    ("L325", "daemonset", (*CONTAINER, "volumeMounts"), [{"name": "v", "mountPath": "/v"}],
     f"{THERE}.volumeMounts[0].name"),
    ("L326", "daemonset", (*CONTAINER, "imagePullPolicy"), "Sometimes", f"{THERE}.imagePullPolicy"),
    ("L327", "daemonset", (*POD, "serviceAccountName"), "Robot", "spec.template.spec.serviceAccountName"),
    ("L328", "daemonset", (*POD, "securityContext", "runAsUser"), -1,
     "spec.template.spec.securityContext.runAsUser"),
    ("L329", "daemonset", (*CONTAINER, "livenessProbe"), {"httpGet": {"port": 0}},
     f"{THERE}.livenessProbe.httpGet.port"),
    ("L330", "daemonset", (*CONTAINER, "command"), "python", f"{THERE}.command"),
    ("L331", "daemonset", (*POD, "nodeSelector", "zone"), True, "spec.template.spec.nodeSelector.zone"),
    ("L332", "daemonset", (*POD, "tolerations", 0, "operator"), "Exist", "spec.template.spec.tolerations[0].operator"),
    ("L333", "daemonset", (*POD, "affinity"), {"podAffinity": {REQUIRED: [{"labelSelector": {}}]}},
     f"spec.template.spec.affinity.podAffinity.{REQUIRED}[0].topologyKey"),
    ("L334", "daemonset", (*POD, "topologySpreadConstraints"),
     [{"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
     "spec.template.spec.topologySpreadConstraints[0].maxSkew"),
    ("L335", "daemonset", (*POD, "hostAliases"), [{"ip": "here"}], "spec.template.spec.hostAliases[0].ip"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "which", "path", "value", "place"), BAD)
def test_one_change_one_finding(spoil, drop, code, which, path, value, place):
    found = spoil(which, path, drop if value == DROP else value)
    assert found == ([] if place is None else [(code, place)])


def test_good_objects_have_no_findings(good):
    assert lint(from_objects(good.values())) == ()


def test_two_tasks_of_one_name_and_no_task(good):
    gang = good["gang"]
    gang["spec"]["tasks"] *= 2
    gang["spec"]["minAvailable"] = 8
    assert {problem.code for problem in lint(from_objects([gang]))} == {"L101"}
    gang["spec"]["tasks"] = []
    assert lint(from_objects([gang]))[0].code == "L101"


def test_several_gpus_need_shared_memory(good):
    pod = good["gang"]["spec"]["tasks"][0]["template"]["spec"]
    pod["nodeSelector"] = {"tiers.dev/pool": "a100"}
    container = pod["containers"][0]
    container["resources"]["limits"]["nvidia.com/gpu"] = 8
    assert [problem.code for problem in lint(from_objects([good["gang"]]))] == ["L309"]
    pod["volumes"] = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
    container["volumeMounts"] = [{"name": "shm", "mountPath": "/dev/shm"}]  # noqa: S108
    assert lint(from_objects([good["gang"]])) == ()


def test_a_daemon_set_needs_no_tolerations_because_its_controller_adds_them(spoil):
    assert spoil("daemonset", (*POD, "tolerations"), []) == []


def test_a_daemon_set_in_an_edge_application_is_not_scoped():
    application = {
        "apiVersion": "apps.kubeedge.io/v1alpha1",
        "kind": "EdgeApplication",
        "metadata": {"name": "app", "namespace": "edge"},
        "spec": {"workloadTemplate": {"manifests": [{"kind": "Deployment"}, {"kind": "DaemonSet"}]}},
    }
    assert [problem.code for problem in lint(from_objects([application]))] == ["L211"]


def test_rules_of_the_edge_leave_other_pods_alone(good):
    deployment = good["deployment"]
    pod = deployment["spec"]["template"]["spec"]
    pod["nodeSelector"] = {"tiers.dev/tier": "hot"}
    pod |= {"runtimeClassName": "nvidia", "tolerations": [], "automountServiceAccountToken": True}
    assert lint(from_objects([deployment])) == ()


@pytest.mark.parametrize(
    "term",
    [
        {"key": "node-role.kubernetes.io/edge", "operator": "Exists"},
        {"key": "tiers.dev/tier", "operator": "In", "values": ["edge"]},
    ],
)
def test_affinity_puts_pods_on_the_edge_too(good, term):
    pod = good["deployment"]["spec"]["template"]["spec"]
    pod["nodeSelector"] = {"kubernetes.io/arch": "arm64"}
    pod["runtimeClassName"] = "nvidia"
    required = {"nodeSelectorTerms": [{"matchExpressions": [term]}]}
    pod["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    assert [problem.code for problem in lint(from_objects([good["deployment"]]))] == ["L201"]


def test_every_rule_has_a_bad_example_and_a_cure():
    shown = {code for code, _, _, _, place in BAD if place} | {"L211", "L309"}
    around = {f"L{number}" for number in range(152, 163)}  # in test_gang_fit and test_gang_starts
    around |= {f"L{number}" for number in range(126, 131)}  # in test_queue_tree
    around |= {f"L{number}" for number in range(171, 189)}  # in test_scheduler_configuration
    around |= {f"L{number}" for number in range(231, 240)}  # in test_kubeedge_config
    around |= {fault.code for fault in FAULTS}  # in test_faults
    assert (shown | {"L125"}) - around == {rule.code for rule in RULES} - around
    assert len({rule.code for rule in RULES}) == len(RULES)
    assert [rule.code for rule in RULES] == sorted(rule.code for rule in RULES)
    assert all(rule.why and rule.cure for rule in RULES)


def test_objects_of_any_shape_are_read_without_an_error():
    nonsense = [None, [], "x", 3, {"a": None}, [None], [[]], [{"name": None}]]
    for value in nonsense:
        for kind, group in (
            ("Job", "batch.volcano.sh/v1alpha1"),
            ("Queue", "scheduling.volcano.sh/v1beta1"),
            ("Pod", "v1"),
        ):
            lint(from_objects([{"apiVersion": group, "kind": kind, "metadata": value, "spec": value}]))
            keys = (
                "tasks",
                "policies",
                "plugins",
                "containers",
                "guarantee",
                "volumes",
                "tolerations",
                "weight",
            )
            body = {"apiVersion": group, "kind": kind, "spec": dict.fromkeys(keys, value)}
            lint(from_objects([body]))


def test_a_task_without_pods_is_told(good):
    spec = good["gang"]["spec"]
    spec["tasks"].append({**spec["tasks"][0], "name": "reader"})
    del spec["tasks"][1]["replicas"]
    found = [(each.code, str(each.place)) for each in lint(from_objects([good["gang"]]))]
    assert found == [("L125", "Job research/train spec.tasks[1]")]


def test_a_root_queue_that_a_cluster_listed_is_not_one_that_somebody_wrote(good):
    root = {**good["queue"], "metadata": {"name": "root"}}
    assert [each.code for each in lint(from_objects([root]))] == ["L124"]
    assert lint(from_objects([{**root, "status": {"state": "Open"}}])) == ()
