"""An object is judged by its own status, and what is missing is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from toolkit.cluster.machines import Machine
from toolkit.cluster.readiness import State, judge

GANG = "batch.volcano.sh/v1alpha1"
QUEUE = "scheduling.volcano.sh/v1beta1"


def body(kind: str, status: object, api_version: str = "apps/v1", **spec: object) -> dict[str, object]:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"generation": 2},
        "spec": spec,
        "status": status,
    }


DONE = {"observedGeneration": 2}
FULL = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}
SET = {"replicas": 3, "readyReplicas": 3, "updatedReplicas": 3, "currentRevision": "a", "updateRevision": "a"}
CLAIM, CRD = "PersistentVolumeClaim", "CustomResourceDefinition"
APIEXTENSIONS = "apiextensions.k8s.io/v1"


def conditions(**values: str) -> dict[str, object]:
    return {
        "conditions": [{"type": kind, "status": value, "message": "why"} for kind, value in values.items()]
    }


CASES = [
    (body("Namespace", {"phase": "Active"}, "v1"), State.READY, ""),
    (body("Namespace", {"phase": "Terminating"}, "v1"), State.PROGRESSING, "Terminating"),
    (body("DaemonSet", {}), State.PROGRESSING, "not seen"),
    (
        body("DaemonSet", {"observedGeneration": 1, "desiredNumberScheduled": 0}),
        State.PROGRESSING,
        "last change",
    ),
    (body("DaemonSet", DONE | {"desiredNumberScheduled": 3, "numberReady": 2}), State.PROGRESSING, "2 of 3"),
    (body("DaemonSet", DONE | {"desiredNumberScheduled": 3, "numberReady": 3}), State.READY, ""),
    (
        body(
            "DaemonSet",
            DONE | {"desiredNumberScheduled": 3, "numberReady": 3, "updatedNumberScheduled": 1},
            updateStrategy={"type": "RollingUpdate"},
        ),
        State.PROGRESSING,
        "1 of 3",
    ),
    (
        body(
            "DaemonSet",
            DONE | {"desiredNumberScheduled": 3, "numberReady": 3, "updatedNumberScheduled": 1},
            updateStrategy={"type": "OnDelete"},
        ),
        State.READY,
        "",
    ),
    (body("Deployment", FULL, replicas=2), State.PROGRESSING, "not seen"),
    (body("Deployment", DONE | FULL | {"updatedReplicas": 1}, replicas=2), State.PROGRESSING, "1 of 2"),
    (body("Deployment", DONE | FULL | {"replicas": 3}, replicas=2), State.PROGRESSING, "1 old"),
    (body("Deployment", DONE | FULL | {"readyReplicas": 1}, replicas=2), State.PROGRESSING, "readyReplicas"),
    (body("Deployment", DONE | FULL | {"availableReplicas": 0}, replicas=2), State.PROGRESSING, "availableR"),
    (body("Deployment", DONE | FULL, replicas=2), State.READY, ""),
    (body("Deployment", DONE | FULL), State.READY, ""),
    (body("Deployment", DONE, replicas=0), State.READY, ""),
    (
        body(
            "Deployment", DONE | {"conditions": [{"reason": "ProgressDeadlineExceeded", "message": "slow"}]}
        ),
        State.FAILED,
        "slow",
    ),
    (body("StatefulSet", DONE | SET, replicas=3), State.READY, ""),
    (body("StatefulSet", SET, replicas=3), State.PROGRESSING, "not seen"),
    (body("StatefulSet", DONE | SET | {"readyReplicas": 2}, replicas=3), State.PROGRESSING, "2 of 3"),
    (
        body("StatefulSet", DONE | SET | {"updateRevision": "b", "updatedReplicas": 1}, replicas=3),
        State.PROGRESSING,
        "updatedReplicas: 1 of 3",
    ),
    (
        body(
            "StatefulSet",
            DONE | SET | {"updateRevision": "b", "updatedReplicas": 1},
            replicas=3,
            updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}},
        ),
        State.READY,
        "",
    ),
    (
        body(
            "StatefulSet",
            DONE | SET | {"updateRevision": "b", "updatedReplicas": 0},
            replicas=3,
            updateStrategy={"type": "OnDelete"},
        ),
        State.READY,
        "",
    ),
    (body("Job", {"active": 1}, "batch/v1", completions=3), State.PROGRESSING, "0 of 3"),
    (body("Job", conditions(Complete="True"), "batch/v1"), State.READY, ""),
    (body("Job", conditions(SuccessCriteriaMet="True"), "batch/v1"), State.READY, ""),
    (body("Job", conditions(Complete="False"), "batch/v1"), State.PROGRESSING, "0 of 1"),
    (body("Job", conditions(Suspended="True"), "batch/v1"), State.PROGRESSING, "suspended"),
    (body("Job", conditions(Failed="True"), "batch/v1"), State.FAILED, "why"),
    (body("Job", conditions(FailureTarget="True"), "batch/v1"), State.FAILED, "why"),
    (body(CLAIM, {"phase": "Bound"}, "v1"), State.READY, ""),
    (body(CLAIM, {"phase": "Pending"}, "v1"), State.PROGRESSING, "Pending"),
    (body(CLAIM, {}, "v1"), State.PROGRESSING, "not set"),
    (body(CLAIM, {"phase": "Lost"}, "v1"), State.FAILED, "volume is gone"),
    (body(CRD, conditions(NamesAccepted="True", Established="True"), APIEXTENSIONS), State.READY, ""),
    (body(CRD, conditions(NamesAccepted="True"), APIEXTENSIONS), State.PROGRESSING, "Established is not set"),
    (body(CRD, conditions(Established="True"), APIEXTENSIONS), State.PROGRESSING, "NamesAccepted is not set"),
    (body(CRD, {"conditions": None}, APIEXTENSIONS), State.PROGRESSING, "not set"),
    (body(CRD, conditions(NamesAccepted="False", Established="False"), APIEXTENSIONS), State.FAILED, "why"),
    (body("Queue", {"state": "Open"}, QUEUE), State.READY, ""),
    (body("Queue", {"state": "Closing"}, QUEUE), State.PROGRESSING, "Closing"),
    (body("Queue", {}, QUEUE), State.PROGRESSING, "not set"),
    (body("Job", {"state": {"phase": "Pending", "message": "no room"}}, GANG), State.PROGRESSING, "no room"),
    (body("Job", {"state": {"phase": "Running"}}, GANG), State.READY, ""),
    (body("Job", {"state": {"phase": "Failed"}}, GANG), State.FAILED, "Failed"),
    (body("ConfigMap", None, "v1"), State.READY, ""),
    (body("Thing", conditions(Ready="False")), State.PROGRESSING, "Ready=False"),
    (body("Thing", conditions(Ready="Unknown")), State.PROGRESSING, "Ready=Unknown"),
    (body("Thing", conditions(Reconciling="True", Ready="True")), State.PROGRESSING, "Reconciling"),
    (body("Thing", conditions(Reconciling="False", Ready="True")), State.READY, ""),
    (body("Thing", conditions(Ready="False", Stalled="True")), State.FAILED, "Stalled"),
    (body("Thing", conditions(Stalled="False", Ready="True")), State.READY, ""),
]


@pytest.mark.parametrize(("found", "state", "reason"), CASES)
def test_a_status_is_judged(found, state, reason):
    judged = judge(found)
    assert judged.state is state
    assert reason in judged.reason


@pytest.mark.parametrize("found", [found for found, state, _ in CASES if state is State.READY])
def test_what_is_being_deleted_does_not_run(found):
    going = found | {"metadata": found["metadata"] | {"deletionTimestamp": "2026-11-22T00:00:00Z"}}
    assert judge(going).state is State.PROGRESSING


@pytest.mark.parametrize(
    ("found", "final"),
    [
        (body("Job", conditions(Failed="True"), "batch/v1"), True),
        (body(CLAIM, {"phase": "Lost"}, "v1"), True),
        (body("Job", {"state": {"phase": "Failed"}}, GANG), True),
        (body("Deployment", DONE | {"conditions": [{"reason": "ProgressDeadlineExceeded"}]}), False),
        (body(CRD, conditions(NamesAccepted="False"), APIEXTENSIONS), False),
        (body("Thing", conditions(Stalled="True")), False),
    ],
)
def test_only_what_can_never_recover_is_final(found, final):
    judged = judge(found)
    assert judged.state is State.FAILED
    assert judged.final is final


# ---------------------------------------------------------------- devices that are switched off
def fleet(up: int, down: int) -> list[Machine]:
    online = [Machine(f"up-{number}", {"pool": "p"}, None) for number in range(up)]
    return online + [Machine(f"down-{number}", {"pool": "p"}, "yesterday") for number in range(down)]


def daemons(wanted: int, ready: int) -> dict[str, object]:
    template = {"spec": {"nodeSelector": {"pool": "p"}}}
    status = DONE | {"desiredNumberScheduled": wanted, "numberReady": ready}
    return body("DaemonSet", status, template=template)


@pytest.mark.parametrize(
    ("up", "down", "ready", "state"),
    [
        (100, 20, 100, State.READY),
        (100, 20, 95, State.READY),
        (100, 20, 94, State.PROGRESSING),
        (2, 0, 1, State.PROGRESSING),
        (2, 1, 2, State.READY),
        (2, 1, 1, State.PROGRESSING),
        (19, 0, 18, State.PROGRESSING),
        (20, 0, 19, State.READY),
        (0, 5, 0, State.READY),
    ],
)
def test_devices_that_are_off_are_not_waited_for(up, down, ready, state):
    judged = judge(daemons(up + down, ready), lambda: fleet(up, down))
    assert judged.state is state
    assert len(judged.offline) == down
    if down:
        assert judged.offline["down-0"] == "yesterday"
        assert f"{down} machines are offline" in judged.reason


def test_how_much_is_enough_can_be_said():
    assert judge(daemons(100, 50), lambda: fleet(100, 0), 50).state is State.READY
    assert judge(daemons(100, 99), lambda: fleet(100, 0), 100).state is State.PROGRESSING


def test_nodes_are_asked_for_only_about_a_daemon_set():
    def nodes() -> list[Machine]:
        raise AssertionError("asked")

    for found, _, _ in CASES:
        if found["kind"] != "DaemonSet":
            judge(found, nodes)
    with pytest.raises(AssertionError, match="asked"):
        judge(daemons(3, 2), nodes)


def test_devices_that_kubernetes_leaves_out_itself_are_named_all_the_same():
    """Without a toleration of the taint they are not among the wanted ones, so they are not taken off again."""
    taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}
    machines = [replace(each, taints=(taint,)) if each.silent_since else each for each in fleet(4, 2)]
    judged = judge(daemons(4, 4), lambda: machines)
    assert (judged.state, set(judged.offline)) == (State.READY, {"down-0", "down-1"})
    assert judge(daemons(4, 2), lambda: machines).state is State.PROGRESSING


def test_devices_of_another_pool_excuse_nothing():
    others = [Machine("other", {"pool": "q"}, "yesterday")]
    judged = judge(daemons(1, 0), lambda: others)
    assert (judged.state, judged.offline) == (State.PROGRESSING, {})
