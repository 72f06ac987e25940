"""`tiers job logs`: what the workers of a local job wrote, by rank."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.job_submit import ROOT, RootOption


def logs(
    job: Annotated[str, typer.Argument(help="A job that ran here.")],
    rank: Annotated[int | None, typer.Option("--rank", help="Only this worker.", min=0)] = None,
    attempt: Annotated[int | None, typer.Option("--attempt", help="Default: the latest.", min=1)] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of each log's end.", min=1)] = 20,
    root: RootOption = ROOT,
) -> None:
    """Print the end of each worker's log."""
    from toolkit.jobs.logs import logs_of

    for each in logs_of(root, job, rank=rank, attempt=attempt, lines=lines):
        for line in each.lines:
            print(f"[rank {each.rank}] {line}")
