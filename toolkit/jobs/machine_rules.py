"""Why a gang waits for machines: there are none for it, they are too small or too few, or others hold them. Pure.

Used by `waiting`; counts with `room`.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from toolkit.jobs.amount import count, in_words, list_in_words
from toolkit.jobs.cures import MOST_NAMED, NONE, fewer, held, pending, starts_when
from toolkit.jobs.room import Holder, Machine, machines_for, slots
from toolkit.jobs.seen import Seen
from toolkit.jobs.states import Cause, Reason
from toolkit.jobs.values import Amounts
from toolkit.placement import GPU


def too_small(seen: Seen) -> Reason | None:
    """The machines could not hold the gang even if they were empty."""
    if "Node" in seen.unread:
        return None
    found, ask, needed = machines_for(seen.template, seen.nodes, ()), seen.ask, seen.minimum
    away = ", ".join(f"{name} ({reason})" for name, reason in sorted(found.away.items())[:MOST_NAMED])
    if not found.usable:
        why = f"no machine {seen.machines_word} takes its workers"
        why += f"; away are {away}." if away else ": no node carries the labels."
        cure = (
            f"uncordon one: kubectl uncordon {min(found.away)}." if away else "tiers status names the pools."
        )
        return pending(Cause.NO_MACHINES, why, cure)
    room = sum(slots(each.total, ask) for each in found.usable)
    if room >= needed:
        return None
    if not room:
        largest = {name: max(each.total.get(name, NONE) for each in found.usable) for name in ask}
        short = [name for name in ask if largest[name] < ask[name]] or list(ask)
        return pending(
            Cause.MACHINE_TOO_SMALL,
            f"a worker asks for {list_in_words(ask, short)}; the largest machine {seen.machines_word} has "
            f"{list_in_words(largest, short) or 'none'}.",
            f"ask for less in jobs.{seen.name}.gang, then tiers job submit {seen.name} --replace.",
        )
    gone = f" (away: {away})" if away else ""
    return pending(
        Cause.POOL_TOO_SMALL,
        f"the {count(len(found.usable), 'machine')} {seen.machines_word} hold {count(room, 'worker')} when "
        f"empty, the gang needs {needed}{gone}.",
        fewer(seen, room),
    )


def no_room(seen: Seen) -> Reason | None:
    """The machines are there and large enough, and others hold too much of them now."""
    if {"Node", "Pod"} & set(seen.unread):
        return None
    machines, ask, needed = (
        machines_for(seen.template, seen.nodes, seen.others).usable,
        seen.ask,
        seen.minimum,
    )
    room = sum(each.slots(ask) for each in machines)
    if room >= needed:
        return None
    full = [each for each in machines if each.slots(ask) < slots(each.total, ask)]
    short = _short(full, ask)
    holders: dict[Holder, Decimal] = {}
    for machine in full:
        for holder, taken in machine.held.items():
            if taken.get(short, NONE):
                holders[holder] = holders.get(holder, NONE) + taken[short]

    def enough(gone: Iterable[Holder]) -> bool:
        without = tuple(gone)
        return sum(each.slots(ask, without) for each in machines) >= needed

    free = sum(1 for each in machines if each.slots(ask))
    each = list_in_words(ask, {GPU} if GPU in ask else None)
    why = (
        f"{count(needed, 'worker')} × {each} {_on(seen)}; {free} of {count(len(machines), 'machine')} "
        f"{'has' if free == 1 else 'have'} {in_words(short, ask[short])} free, room for {room}{held(holders, short)}."
    )
    return pending(Cause.NO_ROOM, why, starts_when(seen, holders, enough, room))


def _short(full: Iterable[Machine], ask: Amounts) -> str:
    """Name the resource that most machines lack; GPUs win a tie."""
    lacking: dict[str, int] = {}
    for machine in full:
        free = machine.free()
        for name in ask:
            if free.get(name, NONE) < ask[name]:
                lacking[name] = lacking.get(name, 0) + 1
    return max(lacking, key=lambda name: (lacking[name], name == GPU), default=GPU if GPU in ask else "cpu")


def _on(seen: Seen) -> str:
    return f"on pool {seen.pool}" if seen.pool else "on its machines"
