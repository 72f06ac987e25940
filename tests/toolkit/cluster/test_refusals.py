"""Wrong jobs meet the real webhook and the real scheduler: what they refuse or never start, lint refuses before.

Asked with dryRun=All, so that nothing is kept: the API server and both webhooks judge the job as they would for real.
Lint knows of the surroundings what `kubectl get -o yaml` lists of them, as a person would give it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.cluster.api import Refused
from tests.cluster.plane import Plane
from tests.toolkit.lint.corpus_reader import (
    CASES,
    NAMESPACES,
    PENDING,
    SURROUNDINGS,
    Case,
    objects,
)
from tests.toolkit.lint.wrong_jobs import Job, jobs, right_job
from tests.toolkit.lint.wrong_queues import QUEUES as WRONG_QUEUES
from tests.toolkit.lint.wrong_queues import TREE
from toolkit.errors import Problem, Severity
from toolkit.lint.check import lint
from toolkit.lint.document import from_files, from_objects
from toolkit.lint.gang_fit import STAYS_PENDING
from toolkit.lint.known_from_objects import known_from_objects
from toolkit.lint.surroundings import NOTHING_KNOWN, Surroundings

QUEUES = "/apis/scheduling.volcano.sh/v1beta1/queues"
BATCH = "/apis/batch.volcano.sh/v1alpha1/namespaces"
GROUPS = "/apis/scheduling.volcano.sh/v1beta1/namespaces"
COMMANDS = "/apis/bus.volcano.sh/v1alpha1/namespaces/default/commands"
LISTED = {
    ("scheduling.volcano.sh/v1beta1", "Queue"): QUEUES,
    ("scheduling.k8s.io/v1", "PriorityClass"): "/apis/scheduling.k8s.io/v1/priorityclasses",
    ("v1", "Node"): "/api/v1/nodes",
    ("v1", "ResourceQuota"): "/api/v1/resourcequotas",
    ("apps/v1", "Deployment"): "/apis/apps/v1/deployments",
}
REFUSALS = (400, 403, 422)
EXAMPLES = 500
WORKERS = 8
"""Requests at a time; the webhook is one process on the same two cores."""


def place(body: dict[str, Any]) -> str:
    """Give the path under which objects of this kind are created."""
    path = LISTED[body["apiVersion"], body["kind"]]
    namespace = body["metadata"].get("namespace")
    return path.replace("/v1/", f"/v1/namespaces/{namespace}/") if namespace else path


@pytest.fixture(scope="module")
def around(plane: Plane, wait_until: Callable[..., None]) -> Iterator[Plane]:
    """Put the surroundings of the corpus into the cluster: queues (one of them closed), a class, quotas, a service."""
    made = []
    for name in NAMESPACES:  # one that was here before may still be going
        make = partial(taken, plane, "POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        wait_until(make, f"{name} is there")
    for body in objects(SURROUNDINGS):
        if body["metadata"]["name"] != "root":  # Volcano has made it
            made.append(f"{place(body)}/{body['metadata']['name']}")
            plain = {key: value for key, value in body.items() if key != "status"}
            wait_until(partial(taken, plane, "POST", place(body), plain), f"{made[-1]} is there")
    close(plane, "corpus-closed", wait_until)
    wait_until(lambda: running(plane, "corpus", "app=service") == 2, "the service runs")
    yield plane
    for path in reversed(made):
        wait_until(partial(taken, plane, "DELETE", path), f"{path} is gone")
    for name in NAMESPACES:
        plane.api.delete(f"/api/v1/namespaces/{name}")


def is_open(plane: Plane, queue: str) -> bool:
    return plane.api.get(f"{QUEUES}/{queue}").get("status", {}).get("state", "") == "Open"


def taken(plane: Plane, method: str, path: str, body: dict[str, Any] | None = None) -> bool:
    """Ask once; no is an answer too: the webhook sees queues above and below later than the server does."""
    try:
        plane.api.request(method, path, body)
    except Refused:
        return False
    return True


def close(plane: Plane, queue: str, wait_until: Callable[..., None]) -> None:
    wait_until(lambda: is_open(plane, queue), f"{queue} is open")
    target = {
        "apiVersion": "scheduling.volcano.sh/v1beta1",
        "kind": "Queue",
        "name": queue,
        "controller": True,
    }
    target["uid"] = plane.api.get(f"{QUEUES}/{queue}")["metadata"]["uid"]
    command = {"metadata": {"name": f"close-{queue}"}, "action": "CloseQueue", "target": target}
    plane.api.create(COMMANDS, {"apiVersion": "bus.volcano.sh/v1alpha1", "kind": "Command", **command})
    wait_until(lambda: not is_open(plane, queue), f"{queue} is closed")


def listed(plane: Plane) -> Surroundings:
    """Read what stands around the jobs from the cluster itself."""
    bodies = [
        {**body, "apiVersion": api_version, "kind": kind}
        for (api_version, kind), path in LISTED.items()
        for body in plane.api.items(path)
    ]
    return known_from_objects(from_objects(bodies), NOTHING_KNOWN)


def judged(plane: Plane, job: Job) -> str:
    """Give the server's refusal of a job; empty when it would take it."""
    path = f"{BATCH}/{job['metadata']['namespace']}/jobs?dryRun=All"
    try:
        plane.api.create(path, job)
    except Refused as error:
        if error.code not in REFUSALS:
            raise
        return json.loads(error.body)["message"]
    return ""


def judged_queue(plane: Plane, body: dict[str, Any]) -> str:
    """Give the server's refusal of a queue; empty when it would take it."""
    try:
        plane.api.create(f"{QUEUES}?dryRun=All", body)
    except Refused as error:
        if error.code not in REFUSALS:
            raise
        return error.body
    return ""


def errors(job: Job, known: Surroundings) -> list[Problem]:
    return [each for each in lint(from_objects([job]), known) if each.severity is Severity.ERROR]


def running(plane: Plane, namespace: str, selector: str) -> int:
    pods = plane.api.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}")
    return sum(1 for pod in pods if pod["spec"].get("nodeName") and pod["status"]["phase"] == "Running")


# ---------------------------------------------------------------- the webhook
def test_the_webhook_refuses_what_the_corpus_says_and_lint_says_it_better(around):
    known = listed(around)
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = dict(zip(CASES, pool.map(lambda case: judged(around, case.job), CASES), strict=True))
    for case, answer in answers.items():
        by = "webhook" if "admission webhook" in answer else "api server" if answer else "nobody"
        assert (case.name, by) == (case.name, case.refused_by), answer
        documents = from_files([case.path, *(path for path in case.beside if path != SURROUNDINGS)])
        found = [each for each in lint(documents, known) if each.severity is Severity.ERROR]
        assert {each.code for each in found} == {case.expect}, case.name
        for problem in found:  # the webhook names neither a line nor a cure
            assert str(problem.place).startswith(f"{case.path}:")
            assert problem.place.line > 1
            assert problem.cure


def drawn(number: int) -> list[tuple[Job, tuple[str, ...]]]:
    """Draw jobs, the same ones in every run."""
    found: list[tuple[Job, tuple[str, ...]]] = []

    @settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(jobs())
    def collect(one: tuple[Job, tuple[str, ...]]) -> None:
        found.append(one)

    collect()
    return found


@pytest.mark.slow
def test_five_hundred_generated_jobs_are_refused_by_lint_wherever_the_webhook_refuses_them(around):
    known, listed_jobs = listed(around), drawn(EXAMPLES)
    assert len(listed_jobs) == EXAMPLES
    assert len({json.dumps(job, sort_keys=True) for job, _ in listed_jobs}) > 0.8 * EXAMPLES
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = list(pool.map(lambda one: judged(around, one[0]), listed_jobs))
    extra: dict[str, int] = {}
    for (job, changes), answer in zip(listed_jobs, answers, strict=True):
        codes = {each.code for each in errors(job, known)}
        if answer:
            assert codes, f"lint takes it: {changes}; the server does not: {answer}"
        else:
            assert codes <= STAYS_PENDING, f"the server takes it: {changes}; lint does not: {codes}"
            for code in codes:
                extra[code] = extra.get(code, 0) + 1
    wrong = sum(map(bool, answers))
    print(f"{EXAMPLES} jobs, {wrong} refused by the server; beyond it lint refuses {extra}")
    assert 0.2 * EXAMPLES < wrong < 0.8 * EXAMPLES
    assert extra, "none of the jobs shows a rule that goes beyond the webhook"


def test_queues_are_refused_by_lint_and_by_the_webhook(around, wait_until):
    for body in TREE:
        name = body["metadata"]["name"]
        wait_until(partial(taken, around, "POST", QUEUES, body), f"{name} is there")
        wait_until(partial(is_open, around, name), f"{name} is open")
    known = listed(around)
    for code, body in WRONG_QUEUES:
        answer = judged_queue(around, body)
        if bool(answer) != bool(code):  # the webhook hears of what is there a moment after the server has it
            wait_until(lambda body=body, code=code: bool(judged_queue(around, body)) == bool(code), answer)
        found = {each.code for each in errors(body, known)}
        assert found == ({code} if code else set()), (body, answer)
    for body in reversed(TREE):
        name = body["metadata"]["name"]
        wait_until(partial(taken, around, "DELETE", f"{QUEUES}/{name}"), f"{name} is gone")


# ---------------------------------------------------------------- the scheduler
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_would_stay_pending_stays_pending_and_runs_when_it_is_mended(around, wait_until):
    keeper = [case for case in PENDING if len(case.beside) > 1]
    show_pending(around, [case for case in PENDING if case not in keeper], wait_until)
    for case in keeper:
        for body in objects(case.beside[-1]):
            around.api.create(place(body), {key: value for key, value in body.items() if key != "status"})
        show_pending(around, [case], wait_until)
        for body in objects(case.beside[-1]):
            around.api.delete(f"{place(body)}/{body['metadata']['name']}")


def show_pending(plane: Plane, cases: list[Case], wait_until: Callable[..., None]) -> None:
    """Submit the jobs of some cases as they are, and when each is seen not to start, mended."""
    for case in cases:
        body = {"apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "Queue", "spec": {"weight": 1}}
        plane.api.create(QUEUES, {**body, "metadata": {"name": own_queue(case)}})
    for case in cases:
        wait_until(partial(is_open, plane, own_queue(case)), f"{own_queue(case)} is open")
    for case in cases:
        submit(plane, case, case.job, wait_until)
    for case in cases:
        wait_until(lambda case=case: never_starts(plane, case), f"{case.name} has been judged")
    for number in (1, 2):  # two gangs that fit: the controllers and the scheduler have gone round since
        canary = right_job(1, 1)
        canary["metadata"]["name"] = name = f"canary-{len(cases)}-{number}"  # a name is used once, see below
        wait_until(partial(taken, plane, "POST", f"{BATCH}/corpus/jobs", canary), f"{name} is taken")
        wait_until(lambda name=name: bound(plane, "corpus", name) == 2, f"{name} runs")
        remove(plane, "corpus", name, wait_until)
    for case in cases:
        name, namespace = case.job["metadata"]["name"], case.job["metadata"]["namespace"]
        assert bound(plane, namespace, name) == 0, f"{case.name} has started"
    for case in cases:
        remove(plane, case.job["metadata"]["namespace"], case.job["metadata"]["name"], wait_until)
    for case in cases:
        job = case.repaired()
        job["metadata"]["name"] += "-2"  # Volcano may lose a job that has the name of one just deleted
        name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        submit(plane, case, job, wait_until)
        started = partial(bound, plane, namespace, name)
        wait_until(started, f"{case.name}, mended, starts")
        remove(plane, namespace, name, wait_until)
        wait_until(partial(taken, plane, "DELETE", f"{QUEUES}/{own_queue(case)}"), "its queue is gone")


def own_queue(case: Case) -> str:
    return f"corpus-{case.name}"


def submit(plane: Plane, case: Case, job: Job, wait_until: Callable[..., None]) -> None:
    """Create a job; where its queue is the open one, in a queue of its own, so that no other job is in its way.

    The webhook hears that a queue is open a moment after the server has it.
    """
    queue = job["spec"]["queue"]
    if queue == "corpus-open":
        job["spec"]["queue"] = own_queue(case)
    path = f"{BATCH}/{job['metadata']['namespace']}/jobs"
    wait_until(partial(taken, plane, "POST", path, job), f"{job['metadata']['name']} is taken")


def pods_of(plane: Plane, namespace: str, job: str) -> list[dict[str, Any]]:
    return plane.api.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector=volcano.sh/job-name={job}")


def bound(plane: Plane, namespace: str, job: str) -> int:
    return sum(1 for pod in pods_of(plane, namespace, job) if pod["spec"].get("nodeName"))


def never_starts(plane: Plane, case: Case) -> bool:
    """Whether the scheduler has said of the group, or a controller of the pods, that the job cannot start."""
    name, namespace = case.job["metadata"]["name"], case.job["metadata"]["namespace"]
    group = f"{name}-{plane.api.get(f'{BATCH}/{namespace}/jobs/{name}')['metadata']['uid']}"
    if not plane.api.gone(f"{GROUPS}/{namespace}/podgroups/{group}"):
        status = plane.api.get(f"{GROUPS}/{namespace}/podgroups/{group}").get("status", {})
        if any(each["type"] == "Unschedulable" for each in status.get("conditions") or []):
            return True
    events = plane.api.items(f"/api/v1/namespaces/{namespace}/events")
    return any(
        (each["involvedObject"]["name"] == name and each["type"] == "Warning")
        or (
            each["involvedObject"]["name"] == group and "queue resource quota insufficient" in each["message"]
        )
        for each in events
    )


def remove(plane: Plane, namespace: str, job: str, wait_until: Callable[..., None]) -> None:
    plane.api.delete(f"{BATCH}/{namespace}/jobs/{job}")
    wait_until(lambda: not pods_of(plane, namespace, job), f"{job} is gone")
    wait_until(lambda: plane.api.gone(f"{BATCH}/{namespace}/jobs/{job}"), f"{job} is deleted")
