"""Rules about queues: order of their three amounts, and what the tier has.

Called by `load` through checks.every. The order is Volcano's admission rule (guarantee <= deserved <= capability for
each resource, a guarantee needs a deserved of the same resource).
"""

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import counted
from toolkit.topology.queue import Queue, Resources
from toolkit.topology.units import Bytes

_STEPS = (("guarantee", "deserved"), ("deserved", "capability"), ("guarantee", "capability"))
_AMOUNTS = ("gpus", "cpus", "memory")


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
        guarantee = queue.guarantee.gpus or 0
        before = kept.get(queue.tier, 0)
        if before + guarantee > there >= guarantee:
            message = f"with this queue {before + guarantee} GPUs are kept, the tier {queue.tier} has {there}"
            site.report("E0506", ("queues", name, "guarantee", "gpus"), message)
        kept[queue.tier] = before + guarantee


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
