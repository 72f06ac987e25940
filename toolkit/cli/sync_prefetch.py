"""`tiers sync prefetch ROUTE`: have files there when a job reads them, the next ones before it asks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.present import JsonOption, say
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

if TYPE_CHECKING:
    from toolkit.sync.serve_reads import Answer


def prefetch(
    route: Annotated[str, typer.Argument(help="The route that leads to where the job reads.")],
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    ahead: Annotated[int, typer.Option("--ahead", min=0, metavar="FILES", help="How far to look ahead.")] = 4,
    budget: Annotated[
        str, typer.Option("--budget", metavar="SIZE", help="Most bytes there that nobody asked for yet.")
    ] = "20GiB",
    keep: Annotated[
        str, typer.Option("--keep", metavar="TIME", help="Rules leave such a file for so long.")
    ] = "15m",
    as_json: JsonOption = False,
) -> None:
    """Read paths from stdin, one a line, and answer with a line each when the file is there."""
    from toolkit.cli.logins import remotes_of
    from toolkit.cli.prefetch_report import answer_line, report_tally
    from toolkit.cli.stopping import stop_on_signals
    from toolkit.cli.sync_report import bytes_of, seconds_of
    from toolkit.routes import sync_task
    from toolkit.sync.prefetch import Prefetcher
    from toolkit.sync.serve_reads import serve_reads
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    prefetcher = Prefetcher(
        sync_task(topology, route),
        ahead=ahead,
        budget_bytes=bytes_of("--budget", budget),
        keep_seconds=seconds_of("--keep", keep),
        remotes=remotes_of(topology),
    )

    def tell(answer: Answer) -> None:
        sys.stdout.write(answer_line(answer, as_json=as_json) + "\n")
        sys.stdout.flush()

    say(f"{route}: a path a line, Ctrl-D ends it")
    with stop_on_signals() as stop:
        worst = serve_reads(prefetcher, sys.stdin.buffer, tell, stop)
    report_tally(prefetcher.close())
    if worst:
        raise typer.Exit(worst)
