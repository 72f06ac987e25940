"""Volcano scheduler configurations that are read and then do what nobody wants. One rule a function.

Who takes whose place was measured on Volcano v1.15.1 (docs/cluster-tests.md). `scheduler_configuration` holds the rules
about what the scheduler refuses or reads over; `check` runs both.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.document import Document, text
from toolkit.lint.pod_templates import GPU
from toolkit.lint.rule import Finding, rule
from toolkit.lint.scheduler_document import configurations
from toolkit.lint.scheduler_words import (
    ACTIONS,
    BINPACK_RESOURCES,
    BINPACK_WEIGHT,
    DESERVING,
    ENOUGH,
    EVICTING,
    SPREADING,
    WEIGHTS,
)


@rule(
    "L179",
    Severity.WARNING,
    why="an urgent job without pods preempts nobody",
    cure="remove enqueue, or overcommit",
)
def urgent_jobs_have_pods(document: Document) -> Iterator[Finding]:
    """While the cluster is full, overcommit keeps a job Pending, and preempt passes over Pending jobs (issue 3910)."""
    for found in configurations(document):
        evicting = {"preempt", "gangpreempt"} & set(found.actions)
        if "enqueue" in found.actions and found.named("overcommit") and evicting:
            yield found.finding(("actions",), f"{evicting.pop()} beside enqueue and overcommit")


@rule(
    "L180",
    Severity.ERROR,
    why="the earlier tier decides alone, and jobs within what their queue deserves are ended",
    cure="put capacity into the same tier as gang and conformance",
)
def victims_are_chosen_in_one_tier(document: Document) -> Iterator[Finding]:
    """Volcano stops at the first tier that names victims; conformance names everybody that is not critical."""
    for found in configurations(document):
        deserving = next((plugin for name in DESERVING if (plugin := found.named(name))), None)
        if deserving is None or "reclaim" not in found.actions:
            continue
        for name in ("conformance", "gang", "pdb"):
            plugin = found.named(name)
            if plugin and plugin.tier < deserving.tier and not plugin.switched_off("enableReclaimable"):
                message = f"{deserving.name} stands in a later tier than {name}, so reclaim does not ask it"
                yield found.finding((*deserving.path, "name"), message)
                break


@rule(
    "L181",
    Severity.WARNING,
    why="a gang at its minimum is never ended, so the action does nothing for gangs",
    cure="write enablePreemptable: false and enableReclaimable: false at gang; their policies bring gangs back",
)
def gangs_can_be_ended(document: Document) -> Iterator[Finding]:
    """Gang offers only pods above minAvailable, and a real gang has none (issues 3332, 4439, 4643)."""
    for found in configurations(document):
        gang = found.named("gang")
        for action, switch in (("preempt", "enablePreemptable"), ("reclaim", "enableReclaimable")):
            if gang and action in found.actions and not gang.switched_off(switch):
                yield found.finding((*gang.path, "name"), f"{action} with a gang that has {switch}")


@rule(
    "L182",
    Severity.WARNING,
    why="a gang that needs one free machine and some taken ones waits for ever",
    cure="write preempt before reclaim",
)
def reclaim_sees_free_machines(document: Document) -> Iterator[Finding]:
    """Reclaim passes over machines without victims; preempt, before it, gives the gang those that are free."""
    for found in configurations(document):
        if "reclaim" not in found.actions:
            continue
        before = found.actions[: found.actions.index("reclaim")]
        if "preempt" not in before:
            yield found.finding(("actions",), "reclaim without preempt before it uses no free machine")


@rule(
    "L183",
    Severity.WARNING,
    why="machines are packed by cores and memory, and their GPUs are scattered",
    cure=f"write {BINPACK_RESOURCES}: {GPU} and {BINPACK_RESOURCES}.{GPU}: 10",
)
def binpack_counts_gpus(document: Document) -> Iterator[Finding]:
    """Without binpack.resources only cores and memory count."""
    for found in configurations(document):
        binpack = found.named("binpack")
        if binpack is None:
            continue
        named = [each.strip() for each in text(binpack.arguments.get(BINPACK_RESOURCES)).split(",")]
        if GPU not in named or binpack.number(f"{BINPACK_RESOURCES}.{GPU}", 1) <= 0:
            yield found.finding((*binpack.path, "name"), f"binpack gives {GPU} no weight")


@rule(
    "L184",
    Severity.WARNING,
    why="pods are spread over all machines, and gangs that want whole ones wait",
    cure="write leastrequested.weight: 0 and podtopologyspread.weight: 0 at nodeorder",
)
def nothing_outweighs_binpack(document: Document) -> Iterator[Finding]:
    """Six pods of a Deployment took all of six empty machines with binpack and nodeorder as they are by default."""
    for found in configurations(document):
        binpack, order = found.named("binpack"), found.named("nodeorder")
        if binpack is None or order is None:
            continue
        weight = binpack.number(BINPACK_WEIGHT, 1)
        heavy = [each for each in SPREADING if weight < ENOUGH * order.number(each, WEIGHTS[each])]
        if heavy:
            yield found.finding((*order.path, "name"), f"{' and '.join(heavy)} outweigh {BINPACK_WEIGHT}")


@rule(
    "L191",
    Severity.WARNING,
    why="what a queue has lent never comes back, and an urgent job waits like any other",
    cure='write actions: "allocate, backfill, preempt, reclaim"',
)
def somebody_gives_way(document: Document) -> Iterator[Finding]:
    """Shares and priorities are held against those who run by preempt and reclaim alone."""
    for found in configurations(document):
        shares = [name for name in (*DESERVING, "drf") if found.named(name)]
        if shares and set(found.actions) <= set(ACTIONS) - EVICTING:
            yield found.finding(("actions",), f"{shares[0]} without an action that takes anything back")


@rule(
    "L192",
    Severity.WARNING,
    why="small jobs take a part of every machine, and gangs that want whole ones wait",
    cure=f"add binpack with {BINPACK_RESOURCES}: {GPU} and a weight above that of what spreads",
)
def something_packs(document: Document) -> Iterator[Finding]:
    """Nodeorder gives the emptiest machine the most points, and nothing speaks against it."""
    for found in configurations(document):
        order = found.named("nodeorder")
        if order is None or found.named("binpack") or found.named("resource-strategy-fit"):
            continue
        if any(order.number(each, WEIGHTS[each]) > 0 for each in SPREADING):
            yield found.finding(
                (*order.path, "name"), "nodeorder spreads pods over all machines, and nothing packs"
            )


@rule(
    "L193",
    Severity.WARNING,
    why="a gang that has lost a machine is asked last, and stays below its minimum while others start (issue 5805)",
    cure="remove drf, or write enableJobOrder: false at it",
)
def drf_does_not_order_gangs(document: Document) -> Iterator[Finding]:
    """Drf puts jobs with a small share first: a gang of which a part runs has a large one."""
    for found in configurations(document):
        drf = found.named("drf")
        if drf and found.named("gang") and not drf.switched_off("enableJobOrder"):
            yield found.finding((*drf.path, "name"), "drf orders gangs by their share")


RULES = (
    urgent_jobs_have_pods,
    victims_are_chosen_in_one_tier,
    gangs_can_be_ended,
    reclaim_sees_free_machines,
    binpack_counts_gpus,
    nothing_outweighs_binpack,
    somebody_gives_way,
    something_packs,
    drf_does_not_order_gangs,
)
"""What does not do what was meant, in order of code."""
