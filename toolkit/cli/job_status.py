"""`tiers job status`: what a job does, the one reason for it, and what would cure it."""

from __future__ import annotations

from toolkit.cli.clusters import ContextOption, KubeconfigOption
from toolkit.cli.job_site import JobArgument, find_job, load_jobs, tell
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def status(
    job: JobArgument,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Say what a job does, why, and what would change that."""
    from toolkit.jobs.status import status as look
    from toolkit.jobs.status import summary

    site = load_jobs(files, assignments)
    if job in site.topology.flows:
        from toolkit.cli.flow_there import show_flow

        show_flow(site, job, kubeconfig, output=output, as_json=as_json)
        return
    found = look(find_job(job, files, assignments, context, kubeconfig, site))
    show(found, Table(("what", "value"), summary(found)), output, as_json=as_json)
    tell(job, found.reason)
    if found.unread:
        say(f"without {', '.join(found.unread)}, which this user may not read")
