"""`tiers job list`: every job of the topology, in tiers.yaml or in a cluster."""

from __future__ import annotations

from toolkit.cli.clusters import ContextOption, KubeconfigOption
from toolkit.cli.job_site import job_connections, load_jobs
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption

_DAY, _HOUR, _MINUTE = 86400, 3600, 60


def list_(
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """List jobs with state, workers, queue, retries and age."""
    from toolkit.jobs.list import jobs

    topology = load_jobs(files, assignments).topology
    found = jobs(topology, job_connections(topology, context, kubeconfig).values())
    rows = [
        (
            each.job,
            each.state.value,
            f"{each.running}/{each.workers}",
            each.queue,
            each.retries,
            _age(each.age_seconds),
            "" if each.in_tiers_yaml else "no",
        )
        for each in found
    ]
    columns = ("job", "state", "workers", "queue", "retries", "age", "in tiers.yaml")
    show(found, Table(columns, rows), output, as_json=as_json)
    say("next: tiers job status JOB")


def _age(seconds: float | None) -> str:
    """Write an age with the largest unit that fits twice, as kubectl does."""
    if seconds is None:
        return ""
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:.0f}s"
