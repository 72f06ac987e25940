"""`tiers job scale`: another number of workers for an elastic gang that runs."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.clusters import ContextOption, KubeconfigOption
from toolkit.cli.job_site import JobArgument, find_job
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def scale(
    job: JobArgument,
    workers: Annotated[int, typer.Option("--workers", help="How many there shall be.", min=1)],
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Change how many workers an elastic gang has (gang.min below gang.workers)."""
    from toolkit.jobs.scale import scale as write

    done = write(find_job(job, files, assignments, context, kubeconfig), workers)
    said = "as before" if done.before == done.after else f"was {done.before}"
    row = (done.job, done.after, said, f"{done.lowest} to {done.highest}")
    show(done, Table(("job", "workers", "", "allowed"), [row]), output, as_json=as_json)
    say(f"next: tiers job status {job}")
