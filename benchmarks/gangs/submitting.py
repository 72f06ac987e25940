"""Two cases of `benchmarks/gang.py`: from submitting to bound, against kubectl; and many jobs at once.

Both sides of the first case are a process that begins when the clock does. Ours reads tiers.yaml, renders the jobs and
sends them with the write of `tiers job submit`, several at a time; kubectl creates the same Jobs from a file that was
rendered beforehand. The clock ends at the last binding in the server's audit log.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gangs.machines import GPUS_A_MACHINE, JOBS_PATH, REPOSITORY, Machines, document, topology_of
from tests.cluster.crowd import job
from tests.cluster.programs import find
from tests.cluster.watchlog import WatchLog
from toolkit.cluster.connect import connect
from toolkit.cluster.diff import put
from toolkit.cluster.kinds import Kinds
from toolkit.render.gang import gang
from toolkit.render.lock import Lock
from toolkit.render.stream import to_stream

AT_ONCE = 8
"""Requests at a time; more only wait in the server."""
FOR_EVER = 100_000.0
"""Seconds that a pod of the first case would live; it is deleted long before."""
DEADLINE = 900.0
OURS, KUBECTL = "tiers", "kubectl create"


def submit(text: str, kubeconfig: Path) -> None:
    """Render all jobs of a tiers.yaml and send them, several at a time, each as `tiers job submit` sends it."""
    topology = topology_of(text)
    kinds = Kinds(connect(topology, "main", kubeconfig))
    rendered = [gang(topology, Lock(), name) for name in topology.jobs]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda each: put(kinds, each, dry_run=False), rendered))


@dataclass
class Submission:
    """One way to submit the jobs of a tiers.yaml, as a command line."""

    text: str
    command: list[str]


def submission(who: str, machines: Machines, text: str) -> Submission:
    """Prepare a command that submits all jobs of a tiers.yaml; for kubectl they are rendered now, off the clock."""
    folder, kubeconfig = machines.plane.folder, machines.plane.kubeconfig
    name = topology_of(text).name
    if who == OURS:
        path = folder / f"{name}.json"
        path.write_text(text, encoding="utf-8")
        script = str(REPOSITORY / "benchmarks" / "gang.py")
        return Submission(text, [sys.executable, script, "--submit", str(path), str(kubeconfig)])
    topology = topology_of(text)
    path = folder / f"{name}.yaml"
    path.write_text(to_stream(gang(topology, Lock(), each) for each in topology.jobs), encoding="utf-8")
    return Submission(text, [str(find("kubectl")), f"--kubeconfig={kubeconfig}", "create", "-f", str(path)])


def bound_after(machines: Machines, who: str, name: str, gangs: int, workers: int) -> float:
    """Submit gangs of workers with one GPU each and give the seconds until the last worker is bound."""
    jobs = {f"wide-{each:02}": job(workers, 1, FOR_EVER) for each in range(gangs)}
    for each in jobs.values():
        del each["priority"]
    prepared = submission(who, machines, document(name, machines.number, jobs, {}))
    machines.namespace(name)
    log = WatchLog(machines.plane.api).start()
    try:
        begin = time.time()
        subprocess.run(prepared.command, check=True, stdout=subprocess.DEVNULL)
        _wait_for(log, gangs * workers, ended=False)
    finally:
        log.stop()
    bound = machines.bindings(name)
    assert len(bound) == gangs * workers, f"{len(bound)} of {gangs * workers} workers are bound"
    machines.clear(name)
    return max(bound.values()) - begin


def submit_to_bound(machines: Machines, gangs: int, workers: int, repeat: int) -> dict[str, float]:
    """Give the median seconds of both ways, measured by turns."""
    assert gangs * workers <= machines.gpus
    found: dict[str, list[float]] = {OURS: [], KUBECTL: []}
    for turn in range(repeat):
        for who in (OURS, KUBECTL) if turn % 2 == 0 else (KUBECTL, OURS):
            name = f"bound-{turn}-{'ours' if who == OURS else 'peer'}"
            found[who].append(bound_after(machines, who, name, gangs, workers))
    return {who: statistics.median(each) for who, each in found.items()}


@dataclass(frozen=True)
class Many:
    """What became of many jobs at once."""

    completed: int
    seconds: float
    """From the start of submitting until the last job was seen completed."""
    bindings_a_second: float
    """Bindings divided by the time from the first to the last one, from the audit log."""


def many_at_once(machines: Machines, number: int) -> Many:
    """Submit jobs of one worker that runs for a second, and wait until all have completed."""
    name = "many"
    jobs = {f"job-{each:04}": job(1, each % GPUS_A_MACHINE // 4 + 1, 1.0) for each in range(number)}
    for each in jobs.values():
        del each["priority"]
    prepared = submission(OURS, machines, document(name, machines.number, jobs, {}))
    machines.namespace(name)
    log = WatchLog(machines.plane.api).start()
    try:
        begin = time.time()
        subprocess.run(prepared.command, check=True, stdout=subprocess.DEVNULL)
        _wait_for(log, number, ended=True)
        completed, pause = 0, 1.0
        while completed < number and time.time() - begin < DEADLINE:
            items = machines.plane.api.items(f"{JOBS_PATH}/namespaces/{name}/jobs")
            completed = sum(
                each.get("status", {}).get("state", {}).get("phase") == "Completed" for each in items
            )
            if completed < number:
                log.after(len(log.changes), pause)
        seconds = time.time() - begin
    finally:
        log.stop()
    bound = sorted(machines.bindings(name).values())
    machines.clear(name)
    return Many(completed, seconds, len(bound) / max(bound[-1] - bound[0], 0.001))


def _wait_for(log: WatchLog, pods: int, *, ended: bool) -> None:
    """Wait until this many pods of jobs have a node, or have ended well."""
    read, found = 0, set[str]()

    def enough() -> bool:
        nonlocal read
        fresh, read = log.changes[read:], len(log.changes)
        found.update(
            each.uid for each in fresh if each.job and each.node and (not ended or each.phase == "Succeeded")
        )
        return len(found) >= pods

    log.wait(enough, f"{pods} pods {'ended' if ended else 'bound'}", DEADLINE)
