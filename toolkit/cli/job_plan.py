"""`tiers job plan`: where a job would run, what it would ask for, and why; asks no cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.job_site import load_jobs
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, describe, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def plan(
    job: Annotated[str, typer.Argument(help="A job of tiers.yaml.")],
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Say what submitting a job would mean."""
    from toolkit.errors import JobError, Severity
    from toolkit.jobs.outlook import outlook
    from toolkit.jobs.outlook_rows import rows

    site = load_jobs(files, assignments)
    found = outlook(site.topology, site.lock, job)
    show(found, Table(("what", "value"), rows(found)), output, as_json=as_json)
    for problem in found.problems:
        say(describe(problem))
    if any(each.severity is Severity.ERROR for each in found.problems):
        raise JobError(f"job {job} could not be submitted", hint="tiers lint")
    say(f"next: tiers job submit {job}")
