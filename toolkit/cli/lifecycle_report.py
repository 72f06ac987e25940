"""How rules and whereabouts look: tables on stdout, what they cannot hold on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from toolkit.cli.present import Table, say
from toolkit.cli.sync_report import amount

if TYPE_CHECKING:
    from toolkit.sync.policies.carry_out import Done
    from toolkit.sync.policies.plan import Explained, Outlook
    from toolkit.sync.policies.trash_can import Restoring, Trash
    from toolkit.sync.policies.where import Whereabouts

_SHOWN = 20
_VERSION_LETTERS = 12


def where_table(found: Whereabouts) -> Table:
    """Make the table for people."""
    rows = [
        (
            each.path,
            each.tier,
            each.url,
            amount(each.size),
            each.version[:_VERSION_LETTERS] or "-",
            _when(each.verified_ms),
            _when(each.read_ms),
            "; ".join(
                filter(None, (each.held and f"held {each.held}", each.pinned and f"pinned {each.pinned}"))
            )
            or "-",
            f"as of {_when(each.seen_ms)}" if each.is_remembered else "now",
        )
        for each in found.found
    ]
    columns = ("path", "tier", "storage", "size", "version", "verified", "read", "kept by", "seen")
    return Table(columns, rows)


def report_where(found: Whereabouts) -> None:
    """Say which storages do not answer, and how old what is known of them is."""
    for each in found.silent:
        known = (
            f"what it had on {_when(each.seen_ms)} is shown" if each.seen_ms else "nobody knows what it has"
        )
        say(f"{each.tier} does not answer, {known}: {each.error}")
    if not found.found:
        say(f"nothing at {found.path or '.'} in any storage that is known")


def outlook_table(outlook: Outlook) -> Table:
    """Make the table for people: one line for each rule and what it does."""
    money = outlook.currency
    rows = [
        (
            line.rule or "(to make room)",
            line.deed,
            line.tier,
            line.to or "-",
            line.objects,
            amount(line.total_bytes),
            f"{round(line.month, 2) + 0.0:+.2f}",
            f"{line.once:.2f}",
        )
        for line in outlook.lines
    ]
    columns = ("rule", "does", "tier", "to", "files", "size", f"{money} a month", f"{money} once")
    return Table(columns, rows)


def outlook_value(outlook: Outlook) -> dict[str, object]:
    """Give what a script wants of an outlook: totals, fill of the storages, and each file that something happens to."""
    return {
        "now_ms": outlook.now_ms,
        "currency": outlook.currency,
        "lines": outlook.lines,
        "waiting": outlook.waiting,
        "storages": [
            {
                "tier": look.terms.tier,
                "url": look.url,
                "objects": len(look.items),
                "used_bytes": look.used_bytes,
                "capacity_bytes": look.place.capacity_bytes,
                "error": look.error,
            }
            for look in outlook.found.looks
        ],
        "deeds": [
            {
                "path": each.facts.path.decode("utf-8", "backslashreplace"),
                "storage": each.facts.url,
                "deed": deed,
                "to": each.to,
                "rule": each.rule,
                "reason": reason,
                "size": each.facts.size,
            }
            for deed, reason, each in (
                *((each.deed, each.reason, each) for each in outlook.decisions if each.deed != "stay"),
                *(("evict", gone.reason, each) for gone in outlook.evictions for each in gone.leaving),
            )
        ],
    }


def report_outlook(outlook: Outlook) -> None:
    """Say what the table does not: storages that are too full or silent, and what waits for its residency."""
    for look in outlook.found.unreachable:
        say(f"error: {look.terms.tier} is left alone: {look.error}")
    for each in outlook.evictions:
        if each.goal_bytes:
            used, capacity = amount(each.used_bytes), amount(each.capacity_bytes)
            say(f"{each.url}: {used} of {capacity}; room is made down to {amount(each.goal_bytes)}")
        if each.short_bytes:
            why = "the rest is held, pinned, young, or has too few copies"
            say(f"{each.url}: {amount(each.short_bytes)} above that stay: {why}")
    waiting = outlook.waiting
    if waiting.objects:
        say(
            f"{waiting.objects} files, {amount(waiting.total_bytes)}, wait for the end of their residency; "
            f"to take them away now would cost {waiting.early_deletion:.2f} {outlook.currency}"
        )
    if outlook.is_idle:
        say("nothing to do")


def explain_table(explained: Sequence[Explained]) -> Table:
    """Make the table for people: what happens to a file in each storage, then rule by rule why."""
    rows: list[tuple[str, str, str, str]] = []
    for each in explained:
        does = f"{each.deed} to {each.to}" if each.to and each.deed != "stay" else each.deed
        rows.append((each.tier, each.url, does, each.reason))
        rows += [("", "", f"  {rule}", why) for rule, why in each.rules]
    return Table(("tier", "storage", "does", "why"), rows)


def report_done(done: Done) -> None:
    """Say what was done, and each thing that could not be done."""
    for deed in ("copy", "move", "expire", "evict", "empty-trash"):
        objects, total = done.count(deed)
        if objects:
            say(f"{deed}: {objects} files, {amount(total)}")
    for error in done.errors[:_SHOWN]:
        say(f"error: {error}")
    if len(done.errors) > _SHOWN:
        say(f"and {len(done.errors) - _SHOWN} more; --json lists them all")


def trash_table(trash: Trash) -> Table:
    """Make the table for people."""
    rows = [
        (
            each.path,
            each.tier,
            each.url,
            amount(each.size),
            each.day,
            f"held {each.held}" if each.held else _when(each.gone_ms),
        )
        for each in trash.found
    ]
    return Table(("path", "tier", "storage", "size", "in since", "gone after"), rows)


def restored_table(done: Restoring) -> Table:
    """Make the table for people."""
    rows = [
        (
            each.path,
            each.tier,
            each.url,
            amount(each.size),
            f"would come {each.state}" if done.dry_run and each.state == "back" else each.state,
        )
        for each in done.rows
    ]
    return Table(("path", "tier", "storage", "size", "state"), rows)


def report_trash(done: Trash | Restoring) -> None:
    """Say which storages could not be worked on."""
    for error in done.errors:
        say(f"error: {error}")


def report_restored(done: Restoring) -> None:
    """Say the same, and why something stays in the trash."""
    report_trash(done)
    stay = [each for each in done.rows if each.problem]
    for each in stay[:_SHOWN]:
        say(f"{each.path} stays in the trash of {each.url}: {each.problem}")
        if each.cure:
            say(f"  try: {each.cure}")


def _when(milliseconds: int) -> str:
    if not milliseconds:
        return "never"
    return f"{datetime.fromtimestamp(milliseconds / 1000, timezone.utc):%Y-%m-%d %H:%M} UTC"
