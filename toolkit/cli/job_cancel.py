"""`tiers job cancel`: take a job out of its cluster and see it go."""

from __future__ import annotations

from toolkit.cli.clusters import ContextOption, KubeconfigOption
from toolkit.cli.job_site import JobArgument, TimeoutOption, find_job, load_jobs
from toolkit.cli.present import YesOption, confirm, say
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def cancel(
    job: JobArgument,
    yes: YesOption = False,
    seconds: TimeoutOption = 600,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Delete a job, its workers after their last checkpoint; checkpoints and artifacts stay."""
    from toolkit.jobs.cancel import cancel as delete
    from toolkit.jobs.observe import JOB, read
    from toolkit.jobs.reason import state_of

    site = load_jobs(files, assignments)
    if job in site.topology.flows:
        from toolkit.cli.flow_there import cancel_flow

        cancel_flow(site, job, kubeconfig, yes=yes, seconds=seconds)
        return
    where = find_job(job, files, assignments, context, kubeconfig, site)
    live = read(where.kinds, JOB, where.namespace, job)
    if live is None:
        say(f"job {job} is not in the cluster {where.connection.cluster}: nothing to do")
        return
    confirm(f"cancel job {job}, which is {state_of(live).value}?", yes=yes)
    delete(where.kinds, where.namespace, job, seconds=seconds)
    say(f"job {job} is gone; next: tiers job submit {job}")
