"""Which fields of a job differ from what would be submitted: what servers fill in is no difference, all else is."""

from __future__ import annotations

import copy

import pytest

from toolkit.jobs.differing import differences, in_place, resized

OWNED = {
    "f:metadata": {"f:labels": {"f:tiers.dev/name": {}}},
    "f:spec": {
        "f:minAvailable": {}, "f:queue": {}, "f:priorityClassName": {}, "f:tasks": {}, "f:policies": {},
        "f:plugins": {"f:env": {}, "f:svc": {}}, "f:maxRetry": {}, "f:schedulerName": {},
        "f:ttlSecondsAfterFinished": {},
    },
}  # fmt: skip


@pytest.fixture
def live(cluster):
    """Give a job as a server shows it: with defaults, status and the record of what is ours."""
    body = copy.deepcopy(cluster().job)
    body["spec"]["tasks"][0]["maxRetry"] = 3
    body["spec"]["tasks"][0]["template"]["spec"]["containers"][0]["ports"][0]["protocol"] = "TCP"
    body["spec"]["minSuccess"] = 4
    body["metadata"]["managedFields"] = [{"manager": "tiers", "operation": "Apply", "fieldsV1": OWNED}]
    return body


@pytest.fixture
def wanted(cluster):
    body = cluster().job
    del body["status"], body["metadata"]["uid"]
    return body


def test_what_servers_fill_in_is_no_difference(live, wanted):
    assert differences(live, wanted) == ()


def container(body):
    return body["spec"]["tasks"][0]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("change", "path", "place"),
    [
        (lambda body: container(body).update(image="other:1"), "containers[worker].image", False),
        (lambda body: container(body)["env"].append({"name": "NEW", "value": "1"}), "env[NEW]", False),
        (lambda body: container(body)["env"].pop(), "env[", False),
        (lambda body: body["spec"].update(queue="other"), "spec.queue", False),
        (lambda body: body["spec"].update(maxRetry=1), "spec.maxRetry", False),
        (lambda body: body["spec"]["policies"].pop(), "spec.policies", False),
        (lambda body: body["spec"].update(priorityClassName="other"), "spec.priorityClassName", True),
        pytest.param(
            lambda body: body["spec"].pop("priorityClassName"), "spec.priorityClassName", True, id="none"
        ),
        (lambda body: body["spec"].update(minAvailable=2), "spec.minAvailable", True),
        (lambda body: body["spec"]["tasks"][0].update(replicas=5), "spec.tasks[worker].replicas", True),
        (
            lambda body: body["spec"]["tasks"][0].update(minAvailable=2),
            "spec.tasks[worker].minAvailable",
            True,
        ),
    ],
)
def test_every_change_is_named_with_its_path(live, wanted, change, path, place):
    change(wanted)
    (found,) = differences(live, wanted)
    assert path in found.path
    assert in_place(found) is place


def test_resized_changes_three_numbers_and_keeps_what_the_webhook_filled_in(live):
    body = resized(live, workers=3, minimum=2, priority_class="high")
    task = body["spec"]["tasks"][0]
    assert (task["replicas"], task["minAvailable"], body["spec"]["minAvailable"]) == (3, 2, 2)
    assert (task["maxRetry"], body["spec"]["priorityClassName"]) == (3, "high")
    assert "minSuccess" not in body["spec"], "what is not ours is not sent"
    assert "status" not in body
    assert body["metadata"]["labels"] == {"tiers.dev/name": "seg3d"}
    assert container(body) == container(live)
