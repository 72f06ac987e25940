"""One reason for each state of a job, and a cure that is true."""

from __future__ import annotations

import pytest

from toolkit.jobs.reason import explain
from toolkit.jobs.seen import Seen
from toolkit.jobs.states import Cause, JobState

GPU = "nvidia.com/gpu"
QUEUED = {"volcano.sh_queue-name": "medical-imaging-research"}


def full_machines(found, number: int, noun: str = "service", name: str = "medical-ai"):
    for index in range(1, number + 1):
        found.taken(f"a100-{index:03d}", noun, name, 1)
    return found


def nothing(found):
    return Seen(name=found.name, namespace=found.topology.name)


def too_many_taken(found):
    full_machines(found, 2)
    found.taken("a100-003", "job", "digits", 1)
    return found.seen()


def held_by_services_alone(found):
    return full_machines(found, 3).seen()


def two_jobs_hold(found):
    full_machines(found, 2)
    return found.taken("a100-003", "job", "first", 8).taken("a100-004", "job", "second", 8).seen()


def cordoned(found):
    for node in found.nodes:
        node["spec"]["unschedulable"] = True
    return found.seen()


def no_such_machines(found):
    found.nodes = [each for each in found.nodes if not each["metadata"]["name"].startswith("a100")]
    return found.seen()


def worker_larger_than_machine(found):
    container = found.job["spec"]["tasks"][0]["template"]["spec"]["containers"][0]
    container["resources"]["requests"][GPU] = "16"
    return found.seen()


def pool_too_small(found):
    found.job["spec"]["minAvailable"] = 8
    found.job["spec"]["tasks"][0]["replicas"] = 8
    return found.seen()


def queue_too_small(found):
    found.queues[0]["spec"]["capability"][GPU] = "16"
    return found.seen()


def guaranteed_to_others(found):
    """178 GPUs in all (the devices' count too), of which another queue has 150 for sure: 28 are left."""
    other = {"metadata": {"name": "other"}, "spec": {"guarantee": {"resource": {GPU: "150"}}}}
    found.queues[0]["spec"]["guarantee"] = {"resource": {}}
    found.queues.append(other)
    return found.seen()


def queue_full(found):
    found.queues[0]["spec"]["capability"][GPU] = "40"
    return (
        found.taken("h100-001", "job", "digits", 4, **QUEUED)
        .taken("h100-002", "job", "big", 8, **QUEUED)
        .seen()
    )


def queue_missing(found):
    found.queues.clear()
    return found.seen()


def queue_closed(found):
    found.queues[0]["status"] = {"state": "Closed"}
    return found.seen()


def no_priority_class(found):
    return found.seen(priority_class=False)


def quota(found):
    hard = {"requests.nvidia.com/gpu": "32", "pods": "10"}
    used = {"requests.nvidia.com/gpu": "8", "pods": "1"}
    return found.seen(quotas=({"metadata": {"name": "gpus"}, "status": {"hard": hard, "used": used}},))


def image(found):
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}
    return found.worker(0, "Pending", image="registry.example/seg3d:2.1", state=waiting).seen()


def secret(found):
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "login" not found'}}
    return found.worker(2, "Pending", state=waiting).seen()


def refused(found):
    return found.seen(events=({"reason": "FailedCreate", "message": "admission webhook denied"},))


def scheduler_says_no(found):
    condition = {"type": "PodScheduled", "status": "False", "message": "0/146 nodes are available"}
    for rank in range(4):
        found.worker(rank, "Pending", node="")
        found.pods[-1]["status"]["conditions"] = [condition]
    return found.seen()


def group_condition(found):
    said = {"conditions": [{"type": "Unschedulable", "message": "4/4 tasks in gang unschedulable"}]}
    return found.seen(pod_group={"status": said})


def let_in(found):
    return found.seen(pod_group={"status": {"phase": "Inqueue"}})


def not_seen(found):
    return found.phase("").seen()


def restarting(found):
    return found.phase("Restarting", retryCount=2).worker(1, "Running").seen()


def waits_again(found):
    too_many_taken(found.phase("Pending", retryCount=3))
    return found.seen()


def taken_back(found):
    """It was evicted by the queue that had lent it machines."""
    found.queues[0]["status"]["allocated"] = {GPU: "40"}
    return found.phase("Pending", retryCount=1).seen()


def runs(found):
    return found.phase("Running", running=4).seen()


def runs_after_retry(found):
    return found.phase("Running", running=4, retryCount=1).seen()


def elastic(found):
    found.job["spec"]["minAvailable"] = 2
    return found.phase("Running", running=3).seen()


def broken_gang(found):
    return too_many_taken(found.phase("Running", running=3))


def completing(found):
    return found.phase("Completing").worker(0, "Running").seen()


def completed(found):
    return found.phase("Completed", succeeded=4).seen()


def failed(found):
    found.phase("Terminated", retryCount=0)
    ends = {0: (1, "Error", "11"), 1: (137, "OOMKilled", "10"), 2: (1, "Error", "12")}
    for rank, (code, reason, minute) in ends.items():
        ended = {"exitCode": code, "reason": reason, "finishedAt": f"2026-11-21T10:{minute}:00Z"}
        found.worker(rank, "Failed", node=f"a100-00{rank + 1}", state={"terminated": ended})
    return found.seen(last_words={1: ("step 70", "killed")})


def retries_used_up(found):
    ended = {"exitCode": 143, "reason": "Error", "finishedAt": "2026-11-21T10:10:00Z"}
    found.job["spec"]["maxRetry"] = 100
    return found.phase("Failed", retryCount=100).worker(0, "Failed", state={"terminated": ended}).seen()


def failed_and_gone(found):
    return found.phase("Failed", retryCount=1).seen()


def node_went(found):
    found.phase("Terminated").worker(3, "Failed")
    found.pods[0]["status"] = {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}
    return found.seen()


def suspended(found):
    return found.phase("Aborted").seen()


def stopping(found):
    return found.phase("Aborting").worker(0, "Running").seen()


def deleted(found):
    found.job["metadata"]["deletionTimestamp"] = "2026-11-21T10:00:00Z"
    return found.worker(0, "Running").seen()


def unknown(found):
    return found.phase("Dancing").seen()


THREE_OF_FOUR = (
    "4 workers × 8 GPUs on pool a100; 3 of 6 machines have 8 GPUs free, room for 3 "
    "(service medical-ai holds 2 GPUs, job digits holds 1 GPU)"
)
SMALLER = "tiers job submit seg3d --workers 3 --replace."
CASES = [
    (nothing, "not submitted", "not-submitted", "not in namespace medical-imaging", "tiers job submit seg3d"),
    (not_seen, "pending", "controller-has-not-seen-it", "has not looked at seg3d", "volcano-system"),
    (no_priority_class, "pending", "priority-class-missing", "class medical-imaging-batch is not", "tiers apply"),
    (queue_missing, "pending", "queue-missing", "queue medical-imaging-research is not", "tiers apply"),
    (queue_closed, "pending", "queue-closed", "is closed: nothing new starts", "--action open"),
    (no_such_machines, "pending", "no-such-machines", "no node carries the labels", "tiers status"),
    (cordoned, "pending", "no-such-machines", "away are a100-001 (cordoned), a100-002", "uncordon a100-001"),
    (worker_larger_than_machine, "pending", "machine-too-small",
     "asks for 16 GPUs; the largest machine of pool a100 has 8 GPUs", "jobs.seg3d.gang"),
    (pool_too_small, "pending", "pool-too-small",
     "the 6 machines of pool a100 hold 6 workers when empty, the gang needs 8", "gang.workers: 6"),
    (queue_too_small, "pending", "queue-too-small", "may hold 16 GPUs; the gang needs 32 GPUs", "gang.workers: 2"),
    (guaranteed_to_others, "pending", "queue-too-small",
     "may hold 28 GPUs, because the rest is guaranteed to other queues; the gang needs 32 GPUs", "--workers 3"),
    (quota, "pending", "quota",
     "the quota gpus of namespace medical-imaging has 24 GPUs left of 32 GPUs", "edit resourcequota"),
    (queue_full, "pending", "queue-full",
     "has 28 GPUs left of 40 GPUs; the gang needs 32 GPUs (job big holds 8 GPUs, job digits holds 4 GPUs)",
     "tiers job suspend big, or tiers job suspend digits, or start it smaller: tiers job submit seg3d --workers 3"),
    (too_many_taken, "pending", "no-room-now",
     THREE_OF_FOUR, "room for 1 more: tiers job suspend digits, or start it smaller: " + SMALLER),
    (held_by_services_alone, "pending", "no-room-now", "(service medical-ai holds 3 GPUs)",
     "room for 1 more: start it smaller: tiers job submit seg3d --workers 3"),
    (two_jobs_hold, "pending", "no-room-now", "2 of 6 machines have 8 GPUs free, room for 2",
     "tiers job suspend first and tiers job suspend second"),
    (refused, "pending", "pods-refused", "refuses its pods: admission webhook denied", "tiers lint"),
    (scheduler_says_no, "pending", "scheduler-says-no", "the scheduler says: 0/146 nodes", "tiers doctor"),
    (group_condition, "pending", "scheduler-says-no", "4/4 tasks in gang unschedulable", "tiers doctor"),
    (let_in, "pending", "not-yet", "it is let in", ""),
    (image, "pending", "image-cannot-be-pulled",
     "rank 0 on a100-001 cannot get its image registry.example/seg3d:2.1 (ImagePullBackOff: no such tag)",
     "tiers explain jobs.seg3d.image"),
    (secret, "pending", "container-cannot-start", "rank 2 on a100-001 cannot start its container", "jobs.seg3d.env"),
    (restarting, "restarting", "restarted",
     "1 pod of it still there. This is retry 2 of 100, since 2026-11-21T10:00:00Z", ""),
    (waits_again, "pending", "no-room-now", "This is retry 3 of 100, since", "suspend digits"),
    (taken_back, "pending", "queue-full",
     "since 2026-11-21T10:00:00Z. Queue medical-imaging-research uses 40 GPUs and deserves 32 GPUs: other queues may",
     "start it smaller: tiers job submit seg3d --workers 1"),
    (runs, "running", "runs", "all 4 workers run since 2026-11-21T10:00:00Z.", ""),
    (runs_after_retry, "running", "runs", "This is retry 1 of 100", ""),
    (elastic, "running", "incomplete", "3 of 4 workers run (it needs 2)", ""),
    (broken_gang, "running", "incomplete", "The others wait: 4 workers × 8 GPUs", "suspend digits"),
    (completing, "completing", "ends", "its work is done; 1 pod of it still there", ""),
    (completed, "completed", "done", "it ended well at 2026", "tiers job submit seg3d --again"),
    (failed, "failed", "worker-failed",
     "rank 1 on a100-002 ended with exit code 137 (OOMKilled); so did 2 other workers.\n    | step 70\n    | killed",
     "tiers job logs seg3d --rank 1; then tiers job submit seg3d --again"),
    (retries_used_up, "failed", "worker-failed",
     "it failed after 100 retries: rank 0 on a100-001 ended with exit code 143 (SIGTERM", "--again"),
    (failed_and_gone, "failed", "worker-failed", "no pod of it is left", "--again"),
    (node_went, "failed", "worker-failed", "rank 3 on a100-001 failed (Evicted: low on memory)", "--rank 3"),
    (suspended, "suspended", "stopped", "holds no machine", "tiers job resume seg3d"),
    (stopping, "stopping", "stopped", "its workers are stopped; 1 pod of it still there", ""),
    (deleted, "stopping", "stopped", "it is being deleted; 1 pod", ""),
    (unknown, "unknown", "unknown", "'Dancing'", "kubectl describe vcjob"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "state", "cause", "why", "cure"), CASES, ids=[each[0].__name__ for each in CASES]
)
def test_the_reason(cluster, case, state, cause, why, cure):
    reason = explain(case(cluster()))
    assert (reason.state.value, reason.cause.value) == (state, cause), reason
    assert why in reason.why
    assert cure in reason.cure
    assert bool(reason.cure) == bool(cure)


def test_every_cause_has_a_case():
    assert {case[2] for case in CASES} == {each.value for each in Cause}
    assert {case[1] for case in CASES} == {each.value for each in JobState}


def test_what_may_not_be_read_is_not_judged(cluster):
    """A user who sees neither nodes nor queues gets the scheduler's words instead of a wrong count."""
    found = cluster()
    found.nodes.clear()
    found.queues.clear()
    said = {"conditions": [{"type": "Unschedulable", "message": "4/4 tasks in gang unschedulable"}]}
    reason = explain(found.seen(unread=("Node", "Pod", "Queue"), pod_group={"status": said}))
    assert reason.cause is Cause.SCHEDULER


def test_a_cure_is_true(cluster):
    """What the reason proposes lets the gang start, by the same count: without digits there is room."""
    found = cluster()
    assert "suspend digits" in explain(too_many_taken(found)).cure
    found.others = [each for each in found.others if each["metadata"]["labels"]["tiers.dev/name"] != "digits"]
    assert explain(found.seen()).cause is Cause.NOT_YET


def test_a_pod_of_something_else_is_named_by_its_owner(cluster):
    found = full_machines(cluster(), 2)
    owner = {"ownerReferences": [{"kind": "ReplicaSet", "name": "web"}], "namespace": "shop", "labels": {}}
    for node in ("a100-003", "a100-004"):
        pod = found.pod(node, {}, gpus="8")
        pod["metadata"] |= owner
        found.others.append(pod)
    assert "ReplicaSet shop/web holds 16 GPUs" in explain(found.seen()).why
