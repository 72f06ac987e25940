"""How a sync looks: a bar while it runs (on a terminal; lines with -v elsewhere), a table and findings at its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from toolkit.cli.present import Table, progress, say
from toolkit.sync.events import Event, Finished, Listener, Moved, Planned, Scanned
from toolkit.sync.result import SyncResult

log = logging.getLogger("tiers.sync")

_SHOWN = 20
"""So many findings are written out; the JSON has all of them."""


@contextmanager
def watching(route: str) -> Iterator[Listener]:
    """Yield a listener that shows how a run gets on."""
    with ExitStack() as bars:
        moved = 0
        advance: Callable[[int], None] = _nothing

        def listen(event: Event) -> None:
            nonlocal moved, advance
            if isinstance(event, Scanned):
                log.info("%s: %d files, read %s", route, event.files, amount(event.bytes_read))
            elif isinstance(event, Planned):
                log.info(
                    "%s: %s lacks %d chunks, %s", route, event.target, event.chunks, amount(event.total_bytes)
                )
                bars.close()
                moved, advance = 0, _nothing
                if event.chunks:
                    advance = bars.enter_context(progress(event.target, event.total_bytes))
            elif isinstance(event, Moved):
                moved += event.chunks
                advance(event.total_bytes)
                log.info("%s: %s has got %d chunks", route, event.target, moved)
            elif isinstance(event, Finished):
                log.info("%s: %s is complete", route, event.target)

        yield listen


def _nothing(done: int) -> None:
    """Advance no bar."""


def summary(result: SyncResult) -> Table:
    """Make the table for people."""
    verb = "would move" if result.dry_run else "moved"
    columns = ("target", "files", verb, "saved", "deleted", "state")
    rows = [
        (
            target.url,
            target.files_written,
            amount(target.bytes_unpacked if result.dry_run else target.bytes_moved),
            amount(target.bytes_saved),
            target.deleted,
            "failed" if target.error else ("changed" if target.changed else "up to date"),
        )
        for target in result.targets
    ]
    return Table(columns, rows)


def report_run(result: SyncResult) -> None:
    """Say what the table does not: totals, files that were left, errors and their cures."""
    say(
        f"{result.route}: {result.files} files, {amount(result.total_bytes)}; read {result.files_read} files, "
        f"{amount(result.bytes_read)}; {result.seconds:.1f} s"
    )
    if result.special:
        say(f"skipped {result.special} devices, pipes or sockets")
    if result.removed:
        say(f"removed {result.removed} files from the source, after reading every target back")
    problems = [*result.problems, *(problem for target in result.targets for problem in target.problems)]
    for problem in problems[:_SHOWN]:
        say(f"{problem.kind}: {problem.path}: {problem.reason}")
    if len(problems) > _SHOWN:
        say(f"and {len(problems) - _SHOWN} more; --json lists them all")
    for target in result.targets:
        if target.error:
            say(f"error: {target.error}")
            if target.hint:
                say(f"  try: {target.hint}")


def amount(count: int) -> str:
    """Write a number of bytes for people, in units of 1024."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:  # noqa: PLR2004 -- the next unit
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
