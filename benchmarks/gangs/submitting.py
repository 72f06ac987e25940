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
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gangs import submit
from benchmarks.gangs.machines import GPUS_A_MACHINE, JOBS_PATH, Machines, document, topology_of
from tests.cluster.crowd import job
from tests.cluster.programs import find
from tests.cluster.watchlog import WatchLog
from toolkit.render.gang import gang
from toolkit.render.lock import Lock
from toolkit.render.stream import to_stream

FOR_EVER = 100_000.0
"""Seconds that a pod of the first case would live; it is deleted long before."""
DEADLINE = 900.0
OURS, KUBECTL = "tiers", "kubectl create"


def command(who: str, machines: Machines, text: str) -> list[str]:
    """Give a command that submits all jobs of a tiers.yaml; for kubectl they are rendered now, off the clock."""
    folder, kubeconfig = machines.plane.folder, machines.plane.kubeconfig
    topology = topology_of(text)
    name = topology.name
    if who == OURS:
        path = folder / f"{name}.json"
        path.write_text(text, encoding="utf-8")
        return [sys.executable, str(Path(submit.__file__)), str(path), str(kubeconfig)]
    path = folder / f"{name}.yaml"
    path.write_text(to_stream(gang(topology, Lock(), each) for each in topology.jobs), encoding="utf-8")
    return [str(find("kubectl")), f"--kubeconfig={kubeconfig}", "create", "-f", str(path)]


def bound_after(machines: Machines, who: str, name: str, gangs: int, workers: int) -> float:
    """Submit gangs of workers with one GPU each and give the seconds until the last worker is bound."""
    jobs = {f"wide-{each:02}": job(workers, 1, FOR_EVER) for each in range(gangs)}
    for each in jobs.values():
        del each["priority"]
    prepared = command(who, machines, document(name, machines.number, jobs, {}))
    machines.namespace(name)
    log = WatchLog(machines.plane.api).start()
    try:
        begin = time.time()
        subprocess.run(prepared, check=True, stdout=subprocess.DEVNULL)
        submitted = time.time() - begin
        _wait_for(log, gangs * workers, ended=False)
    finally:
        log.stop()
    bound = machines.bindings(name)
    assert len(bound) == gangs * workers, f"{len(bound)} of {gangs * workers} workers are bound"
    machines.clear(name)
    first, last = min(bound.values()) - begin, max(bound.values()) - begin
    note = (
        f"{who}: submitted after {submitted:.2f} s, first bound after {first:.2f} s, last after {last:.2f} s"
    )
    print(note, file=sys.stderr)
    return last


def submit_to_bound(machines: Machines, gangs: int, workers: int, repeat: int) -> dict[str, float]:
    """Give the median seconds of both ways, measured by turns after a round that does not count."""
    assert gangs * workers <= machines.gpus
    bound_after(machines, KUBECTL, "warm-up", 1, workers)
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
    prepared = command(OURS, machines, document(name, machines.number, jobs, {}))
    machines.namespace(name)
    log = WatchLog(machines.plane.api).start()
    try:
        begin = time.time()
        subprocess.run(prepared, check=True, stdout=subprocess.DEVNULL)
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
