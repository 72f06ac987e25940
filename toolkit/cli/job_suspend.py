"""`tiers job suspend`: stop a job's workers and keep the job, so that its machines are free."""

from __future__ import annotations

from toolkit.cli.clusters import ContextOption, KubeconfigOption
from toolkit.cli.job_site import JobArgument, TimeoutOption, find_job
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def suspend(
    job: JobArgument,
    seconds: TimeoutOption = 300,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Stop a job's workers after their last checkpoint, and keep the job."""
    from toolkit.jobs.command import suspend as order

    done = order(find_job(job, files, assignments, context, kubeconfig), seconds=seconds)
    said = "suspended" if done.sent else "nothing to do"
    show(done, Table(("job", "state", ""), [(job, done.state.value, said)]), output, as_json=as_json)
    say(f"next: tiers job resume {job}")
