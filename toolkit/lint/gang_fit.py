"""Gangs that would stay Pending because the machines cannot hold them. One rule a function.

The codes L151 to L169 mean: the cluster takes the job and never starts it. These rules need to know the machines, from
Node objects of the run or from tiers.yaml (`surroundings`); without them they are silent. They count empty machines
(and, in one rule, services that are always there), so what they refuse does not fit on the quietest day either.
Beside this file: `gang_starts` (pods that are never made) and `gang_limits` (queue and quota); `check` runs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal

from toolkit.errors import Severity
from toolkit.lint.document import Document, ValuePath
from toolkit.lint.gang_demand import Demand, TaskDemand, demand
from toolkit.lint.gang_document import is_gang
from toolkit.lint.machine_fit import allowed, fits_empty, may_carry, too_small
from toolkit.lint.pod_templates import GPU
from toolkit.lint.rule import Finding, rule_around
from toolkit.lint.surroundings import Machines, Surroundings

STAYS_PENDING = frozenset(f"L{number}" for number in range(151, 170))
"""Codes that mean: the cluster takes the job, and it would stay Pending for ever. Reserved for that."""


@rule_around(
    "L154",
    Severity.ERROR,
    why="the job would stay Pending: a worker is one pod, and a pod runs on one machine",
    cure="spread the work over more and smaller workers, or choose a pool with larger machines",
)
def worker_larger_than_machine(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A worker asks for more than any machine has on which it may run."""
    for task in _tasks(document, around):
        places = _places(task, around)
        if not _too_large(task, places):
            continue
        resource, asked, most = _shortest(task, places)
        yield Finding(
            task.template.path,
            f"would stay Pending: a pod of task {task.name!r} asks for {asked:f} {resource},"
            f" the largest machine it may run on has {most:f}",
        )


@rule_around(
    "L155",
    Severity.ERROR,
    why="the job would stay Pending: a gang starts whole or not at all",
    cure="ask for fewer workers or less for each, or choose a larger pool",
)
def gang_larger_than_pool(document: Document, around: Surroundings) -> Iterator[Finding]:
    """More pods must start together than all machines hold on which they may run, even when those are empty."""
    if not is_gang(document) or not around.machines:
        return
    gang = demand(document)
    if any(_too_large(task, _places(task, around)) for task in gang.tasks):
        return
    for task in gang.tasks:
        room = _room(_places(task, around), task)
        if room is not None and 0 < room < task.needed:
            yield Finding(
                ("spec", "tasks", task.index, "replicas"),
                f"would stay Pending: {task.needed} pods of task {task.name!r} must start together,"
                f" its machines hold {room}",
            )
            return
    yield from _more_than_all(gang, around)


@rule_around(
    "L156",
    Severity.ERROR,
    why="the job would stay Pending: services keep their GPUs, and no gang pushes them away",
    cure="ask for fewer workers, lower replicas.min of the services on this pool, or choose another pool",
)
def gpus_of_services(document: Document, around: Surroundings) -> Iterator[Finding]:
    """With the fewest servers of each service running, too few GPUs are left, however well they are packed."""
    for task in _tasks(document, around):
        places = _places(task, around)
        worker = task.request.get(GPU, Decimal(0))
        room, held = _room(places, task), _held(places, around)
        if worker < 1 or room is None or not held or task.needed > room:
            continue
        sizes = [(each.count, each.has(GPU)) for each in places]
        slots = sum(count * int(there // worker) for count, there in sizes if there is not None)
        spare = sum((count * (there % worker) for count, there in sizes if there is not None), Decimal(0))
        taken = sum((amount for _, amount in held), Decimal(0))
        lost = max(Decimal(0), (taken - spare) / worker).to_integral_value(ROUND_CEILING)
        if task.needed > slots - lost:
            names = ", ".join(f"{name} ({amount:f})" for name, amount in held)
            yield Finding(
                ("spec", "tasks", task.index, "replicas"),
                f"would stay Pending: {task.needed} pods of task {task.name!r} with {worker:f} GPUs each must start"
                f" together, beside {names} there is room for {max(Decimal(0), slots - lost):f}",
            )


@rule_around(
    "L161",
    Severity.ERROR,
    why="the job would stay Pending: no machine is allowed to run it",
    cure="correct the selector, or tolerate the taint of the machines that you mean",
)
def no_machine_at_all(document: Document, around: Surroundings) -> Iterator[Finding]:
    """No machine has the labels that a pod selects, or all that have them carry a taint it does not tolerate."""
    for task in _tasks(document, around):
        if not _places(task, around):
            yield Finding(
                (*task.template.path, "nodeSelector"),
                f"would stay Pending: no machine takes a pod of task {task.name!r}"
                f" (there are {', '.join(sorted({each.name for each in around.machines})[:8])})",
            )


def _too_large(task: TaskDemand, places: list[Machines]) -> bool:
    """Whether there are machines for a task, and none of them takes even one pod."""
    return bool(places) and all(fits_empty(each, task.request) == 0 for each in places)


def _shortest(task: TaskDemand, places: list[Machines]) -> tuple[str, Decimal, Decimal]:
    """Name what one machine lacks for a pod: the resource, what the pod asks for, and the most that there is.

    Where each resource is enough on some machine and never all on one, the first machine's shortage stands for all.
    """
    short = too_small(places[0], task.request)
    everywhere = [each for each in short if all(each in too_small(place, task.request) for place in places)]
    resource = next(iter([*everywhere, *short]), "pods")
    most = max(place.has(resource) or Decimal(0) for place in (places if everywhere else places[:1]))
    return resource, task.request.get(resource, Decimal(1)), most


def _tasks(document: Document, around: Surroundings) -> tuple[TaskDemand, ...]:
    """Give the tasks without which the gang never starts, where the machines are known."""
    if not is_gang(document) or not around.machines:
        return ()
    return tuple(task for task in demand(document).tasks if task.needed > 0)


def _places(task: TaskDemand, around: Surroundings) -> list[Machines]:
    """Give the machines that a task may run on; a pod that names its node goes past the scheduler."""
    if task.template.spec.get("nodeName"):
        return list(around.machines)
    return [each for each in around.machines if each.count and allowed(each, task.template)]


def _room(places: list[Machines], task: TaskDemand) -> int | None:
    """Count the pods of a task that fit on empty machines; None when nothing known limits them."""
    room = 0
    for each in places:
        fitting = fits_empty(each, task.request)
        if fitting is None:
            return None
        room += each.count * fitting
    return room


def _more_than_all(gang: Demand, around: Surroundings) -> Iterator[Finding]:
    found = {id(each): each for task in gang.tasks for each in _places(task, around)}
    places = list(found.values())
    for resource in gang.resources() if places else []:
        there = [each.has(resource) for each in places]
        total = sum(
            (each.count * (amount or 0) for each, amount in zip(places, there, strict=True)), Decimal(0)
        )
        if None not in there and any(there) and gang.at_least(resource) > total:
            path: ValuePath = ("spec", "minAvailable")
            yield Finding(
                path,
                f"would stay Pending: the gang asks for {gang.at_least(resource):f} {resource},"
                f" all its machines together have {total:f}",
            )
            return


def _held(places: list[Machines], around: Surroundings) -> list[tuple[str, Decimal]]:
    """Give the GPUs of the services that can stand on these machines and nowhere else."""
    found = []
    taken = {id(each) for each in places}
    for each in around.standing:
        amount = each.request.get(GPU, Decimal(0)) * each.replicas
        possible = [machines for machines in around.machines if may_carry(machines, each.pool)]
        if amount > 0 and possible and all(id(machines) in taken for machines in possible):
            found.append((each.name, amount))
    return found


RULES = (
    worker_larger_than_machine,
    gang_larger_than_pool,
    gpus_of_services,
    no_machine_at_all,
)
"""What does not fit on the machines."""
