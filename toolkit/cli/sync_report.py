"""How a sync looks: a bar while it runs (on a terminal; lines with -v elsewhere), a table and findings at its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

from toolkit.cli.present import Table, progress, say
from toolkit.errors import UsageError
from toolkit.sync.events import Event, Finished, Listener, Moved, Planned, Scanned
from toolkit.sync.recall import Recalled
from toolkit.sync.result import SyncResult
from toolkit.sync.task import SyncTask
from toolkit.sync.watch import WatchedRun

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


def plan_rows(task: SyncTask, result: SyncResult | None) -> list[tuple[object, ...]]:
    """Make the rows of a plan, one a target; one that says nothing is known when the source could not be looked at."""
    if result is None:
        return [(task.route, place.url, "", "", "", "", "unknown") for place in task.targets]
    rows: list[tuple[object, ...]] = []
    for target in result.targets:
        state = "unknown" if target.error else ("behind" if target.changed else "up to date")
        takes = (
            _seconds(target.bytes_unpacked / task.limit_bytes_per_second)
            if task.limit_bytes_per_second
            else ""
        )
        rows.append(
            (
                task.route,
                target.url,
                target.files_written,
                amount(target.bytes_unpacked),
                target.deleted,
                takes,
                state,
            )
        )
    return rows


def _seconds(seconds: float) -> str:
    return f"up to {timedelta(seconds=round(seconds))}" if seconds else ""


def recall_table(result: Recalled) -> Table:
    """Make the table of a recall: a row a hop."""
    rows = [(hop.route, *summary(hop).rows[0]) for hop in result.hops]
    return Table(("route", *summary(result.hops[0]).columns), rows)


def run_line(run: WatchedRun, *, as_json: bool) -> str:
    """Put one run of a watched route into one line."""
    import msgspec

    if as_json:
        return msgspec.json.encode(run).decode()
    if run.result is None:
        return f"{run.route}: failed: {run.error}" + (f"; try: {run.hint}" if run.hint else "")
    files = sum(target.files_written for target in run.result.targets)
    errors = [target.error for target in run.result.targets if target.error]
    ended = f"failed: {errors[0]}" if errors else ("some files were left" if run.exit_code else "complete")
    return (
        f"{run.route}: {files} files, {amount(run.result.bytes_moved)} in {run.result.seconds:.1f} s; {ended}"
    )


def until(keep: str) -> int:
    """Say when a time that begins now is over, in milliseconds since 1970; 0 for `0s`. Errors as `seconds_of`."""
    seconds = seconds_of("--keep", keep)
    return time.time_ns() // 1_000_000 + int(seconds * 1000) if seconds else 0


def seconds_of(option: str, text: str) -> float:
    """Read the time that an option takes.

    Raises:
        UsageError: it is no time.
    """
    from toolkit.topology.units import Duration

    try:
        return Duration.parse(text).seconds
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}", hint=f"{option} 7d") from error


def bytes_of(option: str, text: str) -> int:
    """Read the size that an option takes.

    Raises:
        UsageError: it is no size.
    """
    from toolkit.topology.units import Bytes

    try:
        return Bytes.parse(text).count
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}", hint=f"{option} 20GiB") from error


def amount(count: int) -> str:
    """Write a number of bytes for people, in units of 1024."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:  # noqa: PLR2004 -- the next unit
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
