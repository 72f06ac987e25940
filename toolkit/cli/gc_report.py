"""What `tiers sync gc` is told and says: its options as rules, its results as a table and findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from toolkit.cli.present import Table, say

if TYPE_CHECKING:
    from toolkit.sync.gc import Collected, Rules

_SHOWN = 20


def rules_for(grace: str, counts: tuple[int, int, int, int, int], within: str, repack: str) -> Rules:
    """Read the options. Raises UsageError for what is no time, no share, or would keep nothing."""
    from toolkit.errors import UsageError
    from toolkit.sync.gc import Rules
    from toolkit.sync.retention import Keep
    from toolkit.topology.units import Duration, Percent

    try:
        within_seconds = Duration.parse(within).seconds if within else 0.0
        keep = Keep(*counts, within_seconds) if any(counts) or within_seconds else None
        return Rules(Duration.parse(grace).seconds, keep, Percent.parse(repack).fraction)
    except ValueError as error:
        raise UsageError(str(error), hint="for example --grace 24h --repack 50%") from error


def summary(done: Sequence[Collected]) -> Table:
    """Make the table for people."""
    from toolkit.cli.sync_report import amount

    verb = "would delete" if done and done[0].dry_run else "deleted"
    columns = ("store", "packs", "size", "forgotten", verb, "freed", "waiting", "later", "repacked")
    rows = [
        (
            each.url,
            each.packs,
            amount(each.pack_bytes),
            len(each.forgotten),
            len(each.deleted),
            amount(each.deleted_bytes),
            each.waiting,
            amount(each.waiting_bytes),
            each.repacked,
        )
        for each in done
    ]
    return Table(columns, rows)


def report_gc(done: Sequence[Collected]) -> None:
    """Say what the table does not."""
    for each in done:
        for name in each.forgotten[:_SHOWN]:
            say(f"{'would forget' if each.dry_run else 'forgot'} {name} in {each.url}")
        if len(each.forgotten) > _SHOWN:
            say(f"and {len(each.forgotten) - _SHOWN} more; --json lists them all")
        for problem in each.problems[:_SHOWN]:
            say(f"{each.url}: {problem}")
