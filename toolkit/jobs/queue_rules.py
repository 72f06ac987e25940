"""Why a gang waits for its queue: the queue is not there, closed, too small for it, or full. Pure; used by `waiting`.

Source of the limit: Volcano 1.15.1, pkg/scheduler/plugins/capacity: a queue may use min(capability, cluster - what is
guaranteed to all queues + its own guarantee), and pods of gangs that were let in count before they run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from toolkit.jobs.amount import in_words, list_in_words
from toolkit.jobs.cures import NONE, fewer, held, pending, starts_when, times
from toolkit.jobs.room import QUEUE_LABEL, Holder, ask_of, holder_of, live, slots
from toolkit.jobs.seen import Seen
from toolkit.jobs.states import Cause, Reason
from toolkit.jobs.values import Amounts, amounts, label, text

_QUEUE_ANNOTATION = "scheduling.volcano.sh/queue-name"
"""What a pod of a Deployment says; pods of a Volcano Job carry a label."""


def no_queue(seen: Seen) -> Reason | None:
    """The queue is not there, or takes nothing."""
    if "Queue" in seen.unread:
        return None
    if seen.queue is None:
        return pending(
            Cause.QUEUE_MISSING,
            f"the queue {seen.queue_name} is not in the cluster.",
            "tiers apply brings it.",
        )
    state = text(seen.queue, "status", "state")
    if state in {"Open", ""}:
        return None
    return pending(
        Cause.QUEUE_CLOSED,
        f"the queue {seen.queue_name} is {state.lower()}: nothing new starts in it.",
        f"open it: vcctl queue operate --name {seen.queue_name} --action open.",
    )


def queue_too_small(seen: Seen) -> Reason | None:
    """The queue may never hold the gang: more than its capability, or than others' guarantees leave."""
    limit, need = _limit(seen), times(seen.ask, seen.minimum)
    short = [name for name in need if name in limit and need[name] > limit[name]]
    if not short:
        return None
    capability = amounts(seen.queue, "spec", "capability")
    reserved = [name for name in short if need[name] <= capability.get(name, need[name])]
    room = slots(limit, {name: amount for name, amount in seen.ask.items() if name in limit})
    why = f"queue {seen.queue_name} may hold {list_in_words(limit, short) or 'none'}"
    if reserved:
        why += ", because the rest is guaranteed to other queues"
    why += f"; the gang needs {list_in_words(need, short)}."
    return pending(
        Cause.QUEUE_TOO_SMALL, why, f"raise its capability and tiers apply, or {fewer(seen, room)}"
    )


def queue_full(seen: Seen) -> Reason | None:
    """Others in the queue leave too little of what it may hold."""
    limit, need = _limit(seen), times(seen.ask, seen.minimum)
    by_holder = _in_queue(seen)
    used = amounts(seen.queue, "status", "allocated")
    for name in need:
        pods = sum((each.get(name, NONE) for each in by_holder.values()), NONE)
        mine = sum((ask_of(pod).get(name, NONE) for pod in live(seen.pods) if _bound(pod)), NONE)
        used[name] = max(used.get(name, NONE) - mine, pods)
    short = [name for name in need if name in limit and used[name] + need[name] > limit[name]]
    if not short:
        return None
    holders = {holder: taken.get(short[0], NONE) for holder, taken in by_holder.items()}

    def enough(gone: Iterable[Holder]) -> bool:
        freed = {name: sum((by_holder[one].get(name, NONE) for one in gone), NONE) for name in short}
        return all(used[name] - freed[name] + need[name] <= limit[name] for name in short)

    left = {name: max(limit[name] - used[name], NONE) for name in seen.ask if name in limit}
    room = slots(left, {name: amount for name, amount in seen.ask.items() if name in limit})
    free = ", ".join(in_words(name, left[name]) for name in short)
    why = (
        f"queue {seen.queue_name} has {free} left of {list_in_words(limit, short)}; the gang needs "
        f"{list_in_words(need, short)}{held(holders, short[0])}."
    )
    return pending(Cause.QUEUE_FULL, why, starts_when(seen, holders, enough, room))


def overuse(seen: Seen) -> str:
    """Say that a queue uses more than its fair part, so that others may take some back; empty when it does not."""
    used, deserved = amounts(seen.queue, "status", "allocated"), amounts(seen.queue, "spec", "deserved")
    over = [name for name in deserved if used.get(name, NONE) > deserved[name]]
    if not over:
        return ""
    return (
        f"Queue {seen.queue_name} uses {list_in_words(used, over)} and deserves {list_in_words(deserved, over)}: "
        "other queues may take the rest back."
    )


def _limit(seen: Seen) -> Amounts:
    """Say how much the job's queue may hold of each resource that anybody limits."""
    capability = amounts(seen.queue, "spec", "capability")
    if seen.queue is None or "Node" in seen.unread:
        return capability
    own = amounts(seen.queue, "spec", "guarantee", "resource")
    limit = dict(capability)
    guaranteed: Amounts = {}
    for queue in seen.queues:
        for name, amount in amounts(queue, "spec", "guarantee", "resource").items():
            guaranteed[name] = guaranteed.get(name, NONE) + amount
    for name, amount in guaranteed.items():
        total = sum((amounts(node, "status", "allocatable").get(name, NONE) for node in seen.nodes), NONE)
        left = max(total - amount, NONE) + own.get(name, NONE)
        limit[name] = min(limit.get(name, left), left)
    return limit


def _in_queue(seen: Seen) -> dict[Holder, Amounts]:
    """Say who takes what of the job's queue: pods that run, and those of gangs that were let in."""
    taken: dict[Holder, Amounts] = {}
    for pod in live(seen.others):
        queue = label(pod, QUEUE_LABEL) or text(
            pod, "metadata", "annotations", "scheduling.volcano.sh/queue-name"
        )
        if queue == seen.queue_name:
            mine = taken.setdefault(holder_of(pod), {})
            for name, amount in ask_of(pod).items():
                mine[name] = mine.get(name, NONE) + amount
    return taken


def _bound(pod: Mapping[str, object]) -> bool:
    return bool(text(pod, "spec", "nodeName"))
