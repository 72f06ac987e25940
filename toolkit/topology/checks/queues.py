"""Rules about queues: order of their three amounts, and what the tier has.

Called by `load` through checks.every. The order is Volcano's admission rule (guarantee <= deserved <= capability for
each resource, a guarantee needs a deserved of the same resource).
"""

from collections.abc import Mapping

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import counted, listed
from toolkit.topology.queue import Queue, Resources, ancestors
from toolkit.topology.units import Bytes

_STEPS = (("guarantee", "deserved"), ("deserved", "capability"), ("guarantee", "capability"))
_AMOUNTS = ("gpus", "cpus", "memory")
_DEEPEST = 5
"""Queues on top of each other; Volcano's webhook refuses more (--max-queue-depth)."""


def amounts_are_in_order(site: Site) -> None:
    """E0505: guarantee <= deserved <= capability, and no guarantee without deserved."""
    for name, queue in site.sound("queues", site.topology.queues):
        for kind in _AMOUNTS:
            for low, high in _STEPS:
                _check_step(site, name, queue, kind, low, high)


def queues_fit_their_tier(site: Site) -> None:
    """E0506: no queue may use, and all queues together may not keep, more GPUs than the tier has."""
    kept: dict[str, int] = {}
    pools = site.pools().values()
    for name, queue in site.sound("queues", site.topology.queues):
        if not site.shaped.is_sound("tiers", queue.tier):
            continue
        there = sum(placed.gpus for placed in pools if placed.tier_name == queue.tier)
        for step in ("guarantee", "deserved", "capability"):
            amount = getattr(queue, step).gpus or 0
            if amount > there:
                message = f"'{step}' is {counted(amount, 'GPU')}, the tier {queue.tier} has {there}"
                site.report("E0506", ("queues", name, step, "gpus"), message)
                break
        if queue.parent is not None:  # a part of what its parent keeps
            continue
        guarantee = queue.guarantee.gpus or 0
        before = kept.get(queue.tier, 0)
        if before + guarantee > there >= guarantee:
            message = f"with this queue {before + guarantee} GPUs are kept, the tier {queue.tier} has {there}"
            site.report("E0506", ("queues", name, "guarantee", "gpus"), message)
        kept[queue.tier] = before + guarantee


def parents_have_room(site: Site) -> None:
    """E0847: a parent of the same tier, no circle, not too deep; E0848: what is below adds up to what is above."""
    queues = dict(site.sound("queues", site.topology.queues))
    wrong = {name: why for name in queues if (why := _misplaced(queues, name))}
    for name, why in wrong.items():
        site.report("E0847", ("queues", name, "parent"), why)
    for parent, above in queues.items():
        below = {name: each for name, each in queues.items() if each.parent == parent and name not in wrong}
        for kind in _AMOUNTS:
            for step in ("guarantee", "deserved"):
                asked = sum(_amount(getattr(each, step), kind) or 0 for each in below.values())
                has = _amount(getattr(above, step), kind) or 0
                if asked > has:
                    last = [name for name, each in below.items() if _amount(getattr(each, step), kind)][-1]
                    together = f"the queues below '{parent}' have {_said(asked, kind)} of '{step}' together"
                    message = f"{together}, it has {_said(has, kind)}"
                    site.report("E0848", ("queues", last, step, kind), message)
            for name, each in below.items():
                most, limit = _amount(each.capability, kind), _limit(queues, name, kind)
                if most is not None and limit is not None and most > limit:
                    message = f"'capability' is {_said(most, kind)}, a queue above has {_said(limit, kind)}"
                    site.report("E0848", ("queues", name, "capability", kind), message)


def jobs_are_in_leaves(site: Site) -> None:
    """E0849: a queue with queues below it takes no jobs."""
    parents = {each.parent for _, each in site.sound("queues", site.topology.queues)}
    for name, job in site.sound("jobs", site.topology.jobs):
        if job.queue is not None and job.queue in parents:
            below = [other for other, each in site.topology.queues.items() if each.parent == job.queue]
            cure = f"use {listed(below, 'or')}"
            message = f"'{job.queue}' has queues below it"
            site.report("E0849", ("jobs", name, "queue"), message, cure=cure)


def _misplaced(queues: Mapping[str, Queue], name: str) -> str:
    """Say what is wrong with the place of a queue; empty when nothing is."""
    queue, above = queues[name], ancestors(queues, name)
    if queue.parent is None or queue.parent not in {*queues, name}:  # `references` knows who is not there
        return ""
    if queue.parent == name:
        return f"'{name}' is its own parent"
    if queues[above[-1]].parent in {name, *above}:
        return f"{' below '.join([name, *above, str(queues[above[-1]].parent)])} is a circle"
    if queues[queue.parent].tier != queue.tier:
        return f"'{queue.parent}' shares {queues[queue.parent].tier}, this queue {queue.tier}"
    if len(above) + 1 > _DEEPEST:
        return f"{' below '.join([name, *above])}: {len(above) + 1} queues on top of each other, {_DEEPEST} are allowed"
    return ""


def _limit(queues: Mapping[str, Queue], name: str, kind: str) -> int | None:
    """Give the capability of the nearest queue above that has one."""
    limits = (_amount(queues[above].capability, kind) for above in ancestors(queues, name))
    return next((each for each in limits if each is not None), None)


def _said(amount: int, kind: str) -> str:
    return str(Bytes(amount)) if kind == "memory" else f"{amount} {kind}"


def _check_step(site: Site, name: str, queue: Queue, kind: str, low: str, high: str) -> None:
    """Compare one kind of resource in two of the three amounts."""
    lower, upper = _amount(getattr(queue, low), kind), _amount(getattr(queue, high), kind)
    if lower is None:
        return
    if upper is None and (low, high) == ("guarantee", "deserved"):
        message = f"'guarantee' has {kind} and 'deserved' has none"
        site.report("E0505", ("queues", name, "guarantee", kind), message)
    elif upper is not None and lower > upper:
        below, above = getattr(getattr(queue, low), kind), getattr(getattr(queue, high), kind)
        message = f"'{low}' is {below} {kind}, more than '{high}' with {above}"
        site.report("E0505", ("queues", name, low, kind), message)


def _amount(resources: Resources, kind: str) -> int | None:
    """Give an amount as a number."""
    value: int | Bytes | None = getattr(resources, kind)
    return value.count if isinstance(value, Bytes) else value
