"""The mixed load of `benchmarks/gang.py`: gangs and single workers that want more machines than there are.

One schedule of arrivals from a seed, played twice on the same machines. Ours: each job becomes a Volcano Job with the
queues below and the scheduler's configuration of tiers.yaml. The peer: the same pods without a gang, for Kubernetes'
own scheduler, made as bare pods by this benchmark, which costs less than any Job. Work is that of `work`.

What is counted, all from the log of all pods and this machine's clock:

- a worker's delay: from the arrival of its job until the worker that did the work was bound (by create → bound of the
  pod alone, a queue that makes no pods would look fast);
- a gang's delay: from its arrival until its last worker was bound;
- useful GPU-seconds: GPUs of a job times the seconds of its work, when it has finished; held ones: GPUs of each pod
  from its binding until it ended or was gone. A part of a gang holds GPUs and does nothing useful;
- makespan: from the first arrival until the last job had finished.

Jobs that had not finished by the deadline count as if they had been bound and finished then: a lower bound.
"""

from __future__ import annotations

import copy
import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any

from benchmarks.gangs.machines import Machines, document, topology_of
from benchmarks.gangs.work import Controller, Load
from tests.cluster.crowd import job
from tests.cluster.watchlog import Change, WatchLog
from toolkit.cluster.apply import apply, raise_for
from toolkit.cluster.connect import connect
from toolkit.cluster.diff import put
from toolkit.cluster.kinds import Kinds
from toolkit.render.gang import gang
from toolkit.render.lock import Lock
from toolkit.render.objects import render
from toolkit.render.rendered import RenderedObject

MACHINES = 6
QUEUES = {"gangs": ("research", 40), "singles": ("clinic", 8)}
"""Share of the machines that gangs and singles deserve; both may use all of them, and running gangs are left alone."""
SHAPES = ((2, 2), (2, 8), (3, 4), (4, 2), (4, 4), (4, 8), (6, 4), (6, 8))
"""Workers and GPUs of a worker, of gangs."""
OVERLOAD = 1.4
"""Work that arrives in a second, as a multiple of what all machines together can do in one."""
DEADLINE = 4.0
"""As a multiple of the seconds that the whole load takes when every GPU works all the time."""
VOLCANO, DEFAULT = "volcano", "default"
SUBMITTERS = 8


@dataclass(frozen=True)
class Figures:
    """One run; times in seconds. The docstring of the module says how each is counted."""

    worker_delays: list[float]
    gang_delays: list[float]
    finished_gangs: int
    finished: int
    makespan: float
    useful: float
    """GPU-seconds."""
    held: float
    """GPU-seconds."""
    gave_up: int
    lost: int

    def worker_delay(self) -> float:
        """Mean delay of the workers."""
        return statistics.fmean(self.worker_delays)

    def worker_delay_p95(self) -> float:
        """95th percentile of the workers' delays."""
        return statistics.quantiles(self.worker_delays, n=20)[-1]

    def gang_delay(self) -> float:
        """Mean delay of the gangs."""
        return statistics.fmean(self.gang_delays)

    def gangs_a_minute(self) -> float:
        """Finished gangs a minute."""
        return self.finished_gangs / self.makespan * 60


def loads(seed: int, gangs: int, singles: int, seconds: float) -> list[Load]:
    """Draw a load: gangs work about `seconds`, singles half of it; they arrive faster than the machines can work."""
    dice = random.Random(seed)
    drawn = [(*dice.choice(SHAPES), seconds * dice.uniform(0.5, 1.5)) for _ in range(gangs)]
    drawn += [(1, dice.choice((1, 1, 2, 4)), seconds / 2 * dice.uniform(0.5, 1.5)) for _ in range(singles)]
    dice.shuffle(drawn)
    window = sum(workers * gpus * long for workers, gpus, long in drawn) / (MACHINES * 8) / OVERLOAD
    moments = sorted(dice.uniform(0, window) for _ in drawn)
    return [
        Load(f"load-{number:03}", moment, workers, gpus, long)
        for number, (moment, (workers, gpus, long)) in enumerate(zip(moments, drawn, strict=True))
    ]


def shortest(wanted: Sequence[Load]) -> float:
    """Give the seconds that a load takes when every GPU works all the time."""
    return sum(each.gpu_seconds for each in wanted) / (MACHINES * 8)


def tiers_yaml(name: str, wanted: Sequence[Load]) -> str:
    """Write the load as the jobs of a tiers.yaml, in two queues."""
    jobs = {}
    for each in wanted:
        jobs[each.name] = job(each.workers, each.gpus, each.seconds)
        del jobs[each.name]["env"]  # its end is the controller's
        jobs[each.name]["queue"] = QUEUES["gangs" if each.is_gang else "singles"][0]
    queues = {
        queue: {
            "tier": "hot",
            "deserved": {"gpus": gpus},
            "capability": {"gpus": MACHINES * 8},
            "reclaimable": False,
        }
        for queue, gpus in QUEUES.values()
    }
    return document(name, MACHINES, jobs, queues)


@dataclass
class Player:
    """Submits the jobs of a load one way or the other, each when it arrives."""

    machines: Machines
    name: str
    """Of the namespace."""
    kinds: Kinds
    rendered: dict[str, dict[str, Any]]
    """Job -> its Volcano Job."""

    @property
    def pods(self) -> str:
        """Where pods are made."""
        return f"/api/v1/namespaces/{self.name}/pods"

    def gang(self, load: Load) -> None:
        """Submit a Volcano Job."""
        body = self.rendered[load.name]
        put(self.kinds, RenderedObject("main", f"jobs.{load.name}", body), dry_run=False)

    def bare(self, load: Load, attempt: int = 0) -> None:
        """Make the pods of a job as they are in its Volcano Job, for Kubernetes' own scheduler."""
        spec = self.rendered[load.name]["spec"]
        for number in range(load.workers):
            pod = copy.deepcopy(spec["tasks"][0]["template"])
            pod["metadata"]["name"] = f"{load.name}-{attempt}-{number}"
            pod["spec"]["priorityClassName"] = spec["priorityClassName"]
            self.machines.plane.api.create(self.pods, pod)

    def anew(self, load: Load, attempt: int) -> None:
        """End all pods of a job, those that wait for a machine too, and begin again at the end of the line."""
        selector = f"labelSelector=tiers.dev/name={load.name}&gracePeriodSeconds=0"
        self.machines.plane.api.delete(f"{self.pods}?{selector}")
        self.bare(load, attempt)


def player(machines: Machines, name: str, wanted: Sequence[Load]) -> Player:
    """Prepare the namespace, the queues and the jobs of a load, off the clock."""
    topology = topology_of(tiers_yaml(name, wanted))
    connection = connect(topology, "main", machines.plane.kubeconfig)
    needed = {"Namespace", "PriorityClass", "Queue"}
    raise_for([apply(connection, name, [each for each in render(topology) if each.kind in needed])])
    machines.wait_for_account(name)
    rendered = {each.name: dict(gang(topology, Lock(), each.name).body) for each in wanted}
    return Player(machines, name, Kinds(connection), rendered)


def play(machines: Machines, who: str, name: str, wanted: Sequence[Load], patience: float = 0.0) -> Figures:
    """Play a load once.

    Args:
        machines: where.
        who: VOLCANO or DEFAULT.
        name: of the namespace.
        wanted: the load.
        patience: seconds after which the peer's workers give up waiting for the others and begin anew; 0 is never.
    """
    api, playing = machines.plane.api, player(machines, name, wanted)
    by_name = {each.name: each for each in wanted}
    controller = Controller(api, name, by_name, patience=patience, give_up=playing.anew)
    log = WatchLog(api).start()
    try:
        begin = time.time()
        end = begin + max(shortest(wanted) * DEADLINE, 20.0)
        with ThreadPoolExecutor(SUBMITTERS + 1) as threads:
            submit = playing.gang if who == VOLCANO else playing.bare
            arriving = threads.submit(_arrive, threads, begin, wanted, submit)
            controller.run(log, end)
            arriving.result()
        changes = [each for each in log.catch_up() if each.namespace == name]
        end = min(end, time.time())
    finally:
        log.stop()
    machines.clear(name)
    return figures(wanted, changes, controller, begin, end)


def _arrive(
    threads: ThreadPoolExecutor, begin: float, wanted: Sequence[Load], submit: Callable[[Load], None]
) -> None:
    pause = Event()
    waiting = []
    for each in wanted:
        pause.wait(max(begin + each.arrives - time.time(), 0))
        waiting.append(threads.submit(submit, each))
    for each in waiting:
        each.result()


def figures(
    wanted: Sequence[Load], changes: Sequence[Change], controller: Controller, begin: float, end: float
) -> Figures:
    """Count a run that was played from `begin` to `end`."""
    by_name = {each.name: each for each in wanted}
    bound: dict[str, tuple[str, float]] = {}
    gone: dict[str, float] = {}
    for each in changes:
        if each.node and each.uid not in bound and each.job in by_name:
            bound[each.uid] = each.job, each.moment
        if each.uid in bound and (each.kind == "DELETED" or each.phase in {"Succeeded", "Failed"}):
            gone.setdefault(each.uid, each.moment)
    workers: list[float] = []
    gangs: list[float] = []
    useful = 0.0
    for load in wanted:
        progress = controller.progress[load.name]
        arrived = begin + load.arrives
        moments = [bound[uid][1] for uid in progress.ended] if progress.finished else [end] * load.workers
        workers += [max(each - arrived, 0.0) for each in moments]
        if load.is_gang:
            gangs.append(max(max(moments) - arrived, 0.0))
        useful += load.gpu_seconds if progress.finished else 0.0
    done = [each for each in wanted if controller.progress[each.name].finished]
    for each in done:
        worked = _worked(changes, controller.progress[each.name].ended)
        assert worked >= each.seconds, f"{each.name} worked {worked} of {each.seconds} s"
    last = max((controller.progress[each.name].finished for each in done), default=end)
    return Figures(
        workers,
        gangs,
        sum(each.is_gang for each in done),
        len(done),
        (last if len(done) == len(wanted) else end) - begin,
        useful,
        sum((gone.get(uid, end) - when) * by_name[name].gpus for uid, (name, when) in bound.items()),
        sum(each.gave_up for each in controller.progress.values()),
        sum(each.lost for each in controller.progress.values()),
    )


def _worked(changes: Sequence[Change], uids: set[str]) -> float:
    """Give the seconds, by the log, from when all these pods ran until the first of them ended."""
    began: dict[str, float] = {}
    ended: dict[str, float] = {}
    for each in changes:
        if each.uid in uids and each.phase == "Running":
            began.setdefault(each.uid, each.moment)
        elif each.uid in uids and each.phase == "Succeeded":
            ended.setdefault(each.uid, each.moment)
    return min(ended.values()) - max(began.values())
