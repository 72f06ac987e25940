"""Every fault that our notes on Volcano list, in the shape in which it is copied: which codes tell of it, and a repair.

The job: one task, a gang in name only. The configuration: Volcano's three default actions. Each point of the notes is a
row: what is changed in the copied file, and the code that must be silent afterwards and was not before.
"""

from __future__ import annotations

import copy

import pytest
import yaml

from toolkit.errors import Severity
from toolkit.lint.check import lint
from toolkit.lint.document import from_text

COPIED_JOB = """\
apiVersion: batch.volcano.sh/v1alpha1
kind: Job
metadata:
  name: train
spec:
  minAvailable: 1
  schedulerName: volcano
  policies:
    - event: PodEvicted
      action: RestartJob
  tasks:
    - name: worker
      replicas: 4
      template:
        spec:
          restartPolicy: OnFailure
          containers:
            - name: worker
              image: registry.example/train:1.0
              resources:
                limits:
                  nvidia.com/gpu: "2"
"""
COPIED_CONFIGURATION = """\
actions: "enqueue, allocate, backfill"
tiers:
  - plugins:
      - name: priority
      - name: gang
  - plugins:
      - name: drf
      - name: predicates
      - name: proportion
      - name: nodeorder
"""
POD = ("spec", "tasks", 0, "template", "spec")
WORKER = (*POD, "containers", 0)
SHM = {"name": "shm", "emptyDir": {"medium": "Memory"}}
ENDS = [
    {"event": "PodEvicted", "action": "RestartJob"},
    {"event": "PodFailed", "action": "TerminateJob"},
    {"event": "TaskCompleted", "action": "CompleteJob"},
]
SECOND = ("tiers", 1, "plugins")
NODEORDER = {"name": "nodeorder", "arguments": {"leastrequested.weight": 0, "podtopologyspread.weight": 0}}

# number of the point, code, which of the two files, where, the repair
POINTS = [
    (1, "L111", "job", ("spec", "minAvailable"), 4),
    (2, "L308", "job", (*POD, "nodeSelector"), {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}),
    (3, "L301", "job", (*WORKER, "resources", "requests"), {"cpu": "8", "memory": "64Gi"}),
    (3, "L309", "job", (*POD, "volumes"), [SHM]),
    (4, "L113", "job", ("spec", "policies"), ENDS),
    (4, "L117", "job", ("spec", "maxRetry"), 100),
    (4, "L119", "job", ("spec", "ttlSecondsAfterFinished"), 86400),
    (4, "L146", "job", (*POD, "terminationGracePeriodSeconds"), 120),
    (5, "L190", "configuration", ("actions",), "allocate, backfill, preempt, reclaim"),
    (6, "L147", "job", ("spec", "plugins"), {"env": [], "svc": []}),
    (6, "L114", "job", (*POD, "restartPolicy"), "Never"),
    (7, "L191", "configuration", ("actions",), "allocate, backfill, preempt, reclaim"),
    (7, "L193", "configuration", (*SECOND, 0), {"name": "conformance"}),
    (7, "L192", "configuration", (*SECOND, 3), NODEORDER),
]


def found(job: dict, configuration: dict) -> list:
    text = "---\n".join(yaml.safe_dump(each, sort_keys=False) for each in (job, configuration))
    return list(lint(from_text(text, "copied.yaml")))


def codes(job: dict, configuration: dict) -> set[str]:
    return {each.code for each in found(job, configuration)}


def mended(job: dict, configuration: dict, *points: tuple) -> tuple[dict, dict]:
    both = {"job": copy.deepcopy(job), "configuration": copy.deepcopy(configuration)}
    for _, code, which, path, value in points:
        target = both[which]
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = value
        if code == "L309":
            worker = both["job"]["spec"]["tasks"][0]["template"]["spec"]["containers"][0]
            worker["volumeMounts"] = [{"name": "shm", "mountPath": "/dev/shm"}]  # noqa: S108
    return both["job"], both["configuration"]


@pytest.fixture
def copied() -> tuple[dict, dict]:
    return yaml.safe_load(COPIED_JOB), yaml.safe_load(COPIED_CONFIGURATION)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point[0]} {point[1]}")
def test_the_copied_files_are_told_and_the_repair_is_not(copied, point):
    before, after = codes(*copied), codes(*mended(*copied, point))
    assert point[1] in before
    assert point[1] not in after


def test_every_point_of_the_notes_is_there():
    assert {number for number, *_ in POINTS} == set(range(1, 8))


def test_all_repairs_together_leave_only_what_is_no_part_of_the_notes(copied):
    """Who takes back must choose in one tier, and may end gangs: what the repair of point 5 and 7 asks for next."""
    job, configuration = mended(*copied, *POINTS)
    assert {"L180", "L181"} <= codes(job, configuration)
    first, second = (tier["plugins"] for tier in configuration["tiers"])
    first[1] |= {"enablePreemptable": False, "enableReclaimable": False}
    first.append(second.pop(2))
    left = found(job, configuration)
    assert {each.severity for each in left} == {Severity.WARNING}
    assert {each.code for each in left} <= {"L302", "L303", "L304", "L305"}, "hardening of any pod"
