"""`tiers job logs`: what the workers of a job wrote, by rank; from its cluster, or of a local run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.clusters import ContextOption, KubeconfigOption
from toolkit.cli.job_here import ROOT
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def logs(
    job: Annotated[str, typer.Argument(help="A job that runs, or ran here.")],
    rank: Annotated[int | None, typer.Option("--rank", help="Only this worker.", min=0)] = None,
    lines: Annotated[
        int, typer.Option("--lines", "--tail", "-n", help="How many of each log's end.", min=1)
    ] = 20,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the workers end.")] = False,
    local: Annotated[bool, typer.Option("--local", help="Of the last run on this machine.")] = False,
    attempt: Annotated[
        int | None, typer.Option("--attempt", help="Of a local run; default: the latest.", min=1)
    ] = None,
    root: Annotated[
        Path | None, typer.Option("--root", help="Folder of local jobs; it means --local.")
    ] = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Print the end of each worker's log."""
    from toolkit.errors import UsageError

    if local or root is not None or attempt is not None:
        from toolkit.jobs.logs import logs_of

        if follow:
            raise UsageError("a local run shows its logs itself", hint=f"tiers job submit {job} --local")
        for each in logs_of(root or ROOT, job, rank=rank, attempt=attempt, lines=lines):
            for line in each.lines:
                print(f"[rank {each.rank}] {line}")
        return
    from toolkit.cli.job_site import find_job
    from toolkit.jobs.pod_logs import logs as read

    where = find_job(job, files, assignments, context, kubeconfig)
    for said in read(where.kinds, where.namespace, job, rank=rank, lines=lines, follow=follow):
        print(f"[rank {said.rank}] {said.text}", flush=follow)
