"""`tiers job submit` without --local: into the job's cluster, once; shows what differs and asks before a change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from toolkit.cli.job_follow import follow_job
from toolkit.cli.job_site import job_connections, load_jobs, tell
from toolkit.cli.present import Output, Table, confirm, say, show

_QUESTION: Final = {"CHANGE": "change", "REPLACE": "stop and replace"}


def submit_there(
    job: str,
    files: Sequence[Path],
    assignments: Sequence[str],
    kubeconfig: Path | None,
    *,
    workers: int | None,
    wait: bool,
    again: bool,
    replace: bool,
    dry_run: bool,
    yes: bool,
    output: Output,
    as_json: bool,
) -> None:
    """Render, lint, look, ask, submit; then perhaps follow."""
    from toolkit.cli.flow_there import submit_flow_there, tell_of_data
    from toolkit.jobs.checked import rendered_job
    from toolkit.jobs.submit import look, submit
    from toolkit.jobs.where import locate

    site = load_jobs(files, assignments)
    if job in site.topology.flows:
        from toolkit.errors import UsageError

        if workers is not None or wait:
            flag = "--wait" if wait else "--workers"
            raise UsageError(f"{job} is a flow, which knows no {flag}", hint=f"tiers job status {job}")
        submit_flow_there(
            site, job, kubeconfig, again=again, replace=replace, dry_run=dry_run, yes=yes,
            output=output, as_json=as_json,
        )  # fmt: skip
        return
    rendered = rendered_job(site.topology, site.lock, job, workers)
    where = locate(site.topology, job, job_connections(site.topology, None, kubeconfig, job))
    found = look(where.kinds, rendered, pool=where.pool, again=again, replace=replace)
    for change in found.differences:
        say(f"  {change}")
    if found.step.name in _QUESTION and not dry_run:
        confirm(f"{_QUESTION[found.step.name]} job {job}, which is {found.reason.state.value}?", yes=yes)
    done = submit(where.kinds, found, dry_run=dry_run)
    said = done.outcome.value + (" (dry run: nothing was changed)" if dry_run else "")
    rows = [(job, done.cluster, done.namespace, said)]
    show(done, Table(("job", "cluster", "namespace", ""), rows), output, as_json=as_json)
    if wait and not dry_run:
        follow_job(where)
        return
    tell_of_data(site.topology, job)
    if found.forecast is not None:
        tell(job, found.forecast)
    if not dry_run:
        say(f"next: tiers job status {job}")
