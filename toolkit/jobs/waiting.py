"""Why a gang waits, and what would let it start. Pure; the part of `reason` for jobs that have not all their workers.

First what no waiting cures (a queue or class that is not there, machines too few or too small, a queue that may never
hold so much), then what is full now: the quota of the namespace, the queue, the machines. Each rule looks at `Seen`
and gives a Reason or None.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from toolkit.jobs.amount import in_words
from toolkit.jobs.cures import NONE, pending, times
from toolkit.jobs.machine_rules import no_room, too_small
from toolkit.jobs.queue_rules import no_queue, queue_full, queue_too_small
from toolkit.jobs.room import live
from toolkit.jobs.seen import Seen
from toolkit.jobs.states import Cause, Reason
from toolkit.jobs.values import Amounts, amounts, mappings, name_of, text


def why_waiting(seen: Seen) -> Reason | None:
    """Give the first reason that keeps a gang from starting; None when by our count it could start."""
    for rule in RULES:
        reason = rule(seen)
        if reason is not None:
            return reason
    return None


def no_priority_class(seen: Seen) -> Reason | None:
    """Its priority class is not there, so the API server refuses its pods."""
    if seen.priority_class:
        return None
    name = text(seen.job, "spec", "priorityClassName")
    return pending(
        Cause.PRIORITY_CLASS,
        f"the priority class {name} is not in the cluster, so its pods are refused.",
        "tiers apply brings it.",
    )


def quota_full(seen: Seen) -> Reason | None:
    """A ResourceQuota of the namespace leaves too little for the workers that have no pod yet."""
    missing = max(seen.minimum - len(live(seen.pods)), 0)
    need = times(seen.ask, missing)
    limits = times(_limits(seen), missing)
    for quota in seen.quotas:
        hard, used = amounts(quota, "status", "hard"), amounts(quota, "status", "used")
        for entry in sorted(hard):
            wanted = _counted(entry, need, limits)
            left = hard[entry] - used.get(entry, NONE)
            if wanted > left:
                name = entry.removeprefix("requests.").removeprefix("limits.")
                return pending(
                    Cause.QUOTA,
                    f"the quota {name_of(quota)} of namespace {seen.namespace} has {in_words(name, left)} left "
                    f"of {in_words(name, hard[entry])} ({entry}); the gang needs {in_words(name, wanted)}.",
                    f"raise it (kubectl edit resourcequota -n {seen.namespace} {name_of(quota)}) or free some.",
                )
    return None


def _limits(seen: Seen) -> Amounts:
    """Sum the limits of a worker's containers."""
    total: Amounts = {}
    for container in mappings(seen.template, "spec", "containers"):
        for name, amount in amounts(container, "resources", "limits").items():
            total[name] = total.get(name, NONE) + amount
    return total


def _counted(entry: str, need: Amounts, limits: Amounts) -> Decimal:
    """Say how much of a quota's entry the workers take. Names: Kubernetes, "Resource Quotas"."""
    if entry.startswith("limits."):
        return limits.get(entry.removeprefix("limits."), NONE)
    if entry in {"pods", "count/pods"}:
        return need.get("pods", NONE)
    return need.get(entry.removeprefix("requests."), NONE)


RULES: tuple[Callable[[Seen], Reason | None], ...] = (
    no_priority_class, no_queue, too_small, queue_too_small, quota_full, queue_full, no_room,
)  # fmt: skip
"""In the order in which they are tried."""
