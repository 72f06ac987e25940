"""`jobs.NAME.schedule` → a Volcano CronJob: runs of a job that begin by themselves.

Between `gang` and the template volcano/cronjob.yaml.j2. A schedule is a state that shall hold, so `tiers apply` brings
and prunes it, unlike the job itself (docs/decisions/0021). Volcano v1.15.1 calls a run NAME-MINUTES, the minutes since
1970 (pkg/controllers/cronjob, getJobName), and copies labels of the template, so `tiers job list` shows the runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.placement import place_job
from toolkit.render.gang import gang_spec
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.rendered import RenderedObject
from toolkit.render.template import fill
from toolkit.topology.topology import Topology

_POLICY = {"forbid": "Forbid", "replace": "Replace", "allow": "Allow"}


@dataclass(frozen=True)
class CronJobView:
    """What volcano/cronjob.yaml.j2 names."""

    schedule: str
    timezone: str
    overlap: str
    late_seconds: int
    suspended: bool
    keep_completed: int
    keep_failed: int
    job_labels: Mapping[str, str]
    job_spec: object


def cron_jobs(topology: Topology, lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give a CronJob for each job of the cluster with a schedule. Raises RenderError as `gang.gang`."""
    for name, job in topology.jobs.items():
        placement = place_job(topology, name)
        if job.schedule is None or placement.cluster != cluster:
            continue
        labels = owner_labels(topology.name, "job", name)
        view = CronJobView(
            schedule=str(job.schedule.cron),
            timezone=job.schedule.timezone,
            overlap=_POLICY[job.schedule.overlap],
            late_seconds=max(int(job.schedule.late.seconds), 1),
            suspended=job.schedule.suspended,
            keep_completed=job.schedule.keep_completed,
            keep_failed=job.schedule.keep_failed,
            job_labels=labels,
            job_spec=gang_spec(topology, lock, name),
        )
        body = fill("volcano/cronjob.yaml.j2", Metadata(name, labels, placement.namespace), cron=view)
        yield RenderedObject(cluster, f"jobs.{name}.schedule", body)
