"""An object is judged by its own status, and what is missing is said."""

from __future__ import annotations

import pytest

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
    (body("Deployment", DONE | {"updatedReplicas": 1}, replicas=2), State.PROGRESSING, "1 of 2"),
    (body("Deployment", DONE | {"updatedReplicas": 2, "readyReplicas": 2}, replicas=2), State.READY, ""),
    (
        body("Deployment", {"conditions": [{"reason": "ProgressDeadlineExceeded", "message": "too slow"}]}),
        State.FAILED,
        "too slow",
    ),
    (body("Queue", {"state": "Open"}, QUEUE), State.READY, ""),
    (body("Queue", {}, QUEUE), State.PROGRESSING, "not set"),
    (body("Job", {"state": {"phase": "Pending", "message": "no room"}}, GANG), State.PROGRESSING, "no room"),
    (body("Job", {"state": {"phase": "Running"}}, GANG), State.READY, ""),
    (body("Job", {"state": {"phase": "Failed"}}, GANG), State.FAILED, "Failed"),
    (body("ConfigMap", None, "v1"), State.READY, ""),
    (body("Thing", {"conditions": [{"type": "Ready", "status": "False"}]}), State.PROGRESSING, "Ready=False"),
    (body("Thing", {"conditions": [{"type": "Stalled", "status": "True"}]}), State.FAILED, "Stalled"),
]


@pytest.mark.parametrize(("found", "state", "reason"), CASES)
def test_a_status_is_judged(found, state, reason):
    judged = judge(found)
    assert judged.state is state
    assert reason in judged.reason
