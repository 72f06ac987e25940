"""What `tiers backup` and `tiers restore` print: a row for each part, a line for each file that needs a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from toolkit.cli.present import Table, say
from toolkit.cli.sync_report import amount

if TYPE_CHECKING:
    from toolkit.backup.plan import RestorePlan
    from toolkit.backup.shelf import Saved
    from toolkit.backup.take import Taken

_SHOWN = 20


def taken_row(taken: Taken) -> tuple[Mapping[str, object], Table]:
    """Say what a backup came to."""
    value, table = _parts(taken.saved)
    said = "nothing changed since" if taken.unchanged else "saved and read back:"
    say(f"{said} {taken.saved.name}; {amount(taken.stored_bytes)} new in {taken.saved.store.remote.url}")
    if taken.forgotten:
        say(f"forgotten: {', '.join(map(str, taken.forgotten))}; a collection frees what only they had")
    more = {"stored_bytes": taken.stored_bytes, "unchanged": taken.unchanged, "forgotten": taken.forgotten}
    return {**value, **more}, table


def drill_row(saved: Saved, read: int, models: int) -> tuple[Mapping[str, object], Table]:
    """Say what a drill has proven."""
    value, table = _parts(saved)
    say(
        f"{saved.name}, made {saved.made}, reads: {len(saved.entries)} files, {amount(read)}, {models} models whole"
    )
    return {**value, "read_bytes": read, "models": models}, table


def plan_table(plan: RestorePlan) -> tuple[Mapping[str, object], Table]:
    """Say what a restore would do, and name each file that is not simply written or the same."""
    counts = Counter((step.part, step.action.value) for step in plan.steps)
    sizes: Counter[tuple[str, str]] = Counter()
    for step in plan.steps:
        sizes[step.part, step.action.value] += step.total_bytes
    rows = [(part, action, count, amount(sizes[part, action])) for (part, action), count in counts.items()]
    odd = [step for step in plan.steps if step.why]
    for step in odd[:_SHOWN]:
        say(f"{step.where}: {step.action.value}: {step.why}")
    if len(odd) > _SHOWN:
        say(f"… and {len(odd) - _SHOWN} more")
    say(f"{plan.saved.name}, made {plan.saved.made} with tiers {plan.saved.facts.made_with}")
    steps = [step for step in plan.steps if step.action.value != "same"]
    value = {"site": plan.saved.site, "number": plan.saved.number, "steps": steps}
    return value, Table(("part", "what", "files", "bytes"), rows)


def _parts(saved: Saved) -> tuple[Mapping[str, object], Table]:
    rows = [(part.name, part.files, amount(part.total_bytes), part.skipped) for part in saved.facts.parts]
    value = {"site": saved.site, "number": saved.number, "facts": saved.facts}
    return value, Table(("part", "files", "bytes", "not in it"), rows)
