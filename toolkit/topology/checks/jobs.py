"""Rules about jobs: can this gang ever start?

Called by `load` through checks.every. Volcano accepts most of these and leaves the job pending without a word.
"""

import re
from zoneinfo import available_timezones

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import counted, did_you_mean
from toolkit.topology.job import Job
from toolkit.topology.queue import gpu_limit
from toolkit.topology.topology import PlacedPool

_SERVICE_NAME = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
_LONGEST_POD_NAME = 63
_TASK = "worker"
"""Name of a gang's task; part of every pod's name."""
_FEW_ATTEMPTS = 10
_LONGEST_CRON_NAME = 52
"""Of a CronJob, by Volcano's webhook."""
_MINUTES = 8
"""Digits of the minutes since 1970, until 2160."""
_SECRET_VARIABLE = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_KEY)$", re.IGNORECASE)


def gangs_fit_their_pool(site: Site) -> None:
    """E0504: a worker fits into one machine; E0503: all workers fit into the pool; E0519: jobs run on servers."""
    for name, job, placed in _placed_jobs(site):
        if placed.tier_name == "edge":
            site.report("E0519", ("jobs", name, "pool"), f"'{job.pool}' is an edge pool, jobs run on servers")
            continue
        gang, each = job.gang, placed.gpus_per_node
        if gang.gpus_per_worker > each:
            message = (
                f"a worker wants {counted(gang.gpus_per_worker, 'GPU')}, a machine of '{job.pool}' has {each}"
            )
            site.report("E0504", ("jobs", name, "gang", "gpus_per_worker"), message)
        elif gang.gpus_per_worker:
            room = each // gang.gpus_per_worker * placed.pool.nodes.total
            if gang.minimum > room:
                wanted = f"{counted(gang.minimum, 'worker')} with {counted(gang.gpus_per_worker, 'GPU')} each"
                there = f"{counted(placed.pool.nodes.total, 'machine')} with {counted(each, 'GPU')}"
                message = f"{wanted}: '{job.pool}' has room for {room} ({there})"
                site.report("E0503", ("jobs", name, "gang", "workers"), message)
        elif not placed.pool.nodes.total:
            site.report("E0503", ("jobs", name, "gang", "workers"), f"'{job.pool}' has no machines")


def gangs_fit_their_queue(site: Site) -> None:
    """E0508: the queue shares the pool's tier; E0507: its capability lets the gang through."""
    for name, job, placed in _placed_jobs(site):
        queue = site.topology.queues.get(job.queue or "")
        if queue is None or not site.shaped.is_sound("queues", job.queue or ""):
            continue
        if queue.tier != placed.tier_name:
            message = (
                f"the queue '{job.queue}' shares {queue.tier}, the pool '{job.pool}' is in {placed.tier_name}"
            )
            site.report("E0508", ("jobs", name, "queue"), message)
            continue
        there = sum(each.gpus for each in site.pools().values() if each.tier_name == queue.tier)
        wanted = job.gang.minimum * job.gang.gpus_per_worker
        most = gpu_limit(site.topology.queues, job.queue or "", there)
        if most is not None and wanted > most:
            message = f"the gang wants {counted(wanted, 'GPU')}, the queue '{job.queue}' lets {most} through"
            site.report("E0507", ("jobs", name, "gang", "workers"), message)


def minimum_is_not_above_workers(site: Site) -> None:
    """E0509: min <= workers; W0703: min < workers is no real gang."""
    for name, job in site.sound("jobs", site.topology.jobs):
        gang = job.gang
        if gang.minimum > gang.workers:
            site.report(
                "E0509",
                ("jobs", name, "gang", "min"),
                f"'min' is {gang.min}, more than 'workers' with {gang.workers}",
            )
        elif gang.minimum < gang.workers:
            message = f"the gang of {gang.workers} may start with {gang.minimum}"
            site.report("W0703", ("jobs", name, "gang", "min"), message)


def names_are_service_names(site: Site) -> None:
    """E0601: len(job) + len(task) + len(highest index) + 2 <= 63, and the job's name is a Service's."""
    for name, job in site.sound("jobs", site.topology.jobs):
        if re.fullmatch(_SERVICE_NAME, name, re.ASCII) is None:
            site.report("E0601", ("jobs", name), f"'{name}' does not begin with a letter", key=True)
        longest = len(name) + len(_TASK) + len(str(job.gang.workers - 1)) + 2
        if longest > _LONGEST_POD_NAME:
            message = f"its pods would have names of {longest} characters, {_LONGEST_POD_NAME} are allowed"
            site.report("E0601", ("jobs", name), message, key=True)


def retries_outlast_evictions(site: Site) -> None:
    """W0704: where other queues may take machines back, each eviction uses an attempt."""
    for name, job in site.sound("jobs", site.topology.jobs):
        queue = site.topology.queues.get(job.queue or "")
        evicted = any(cause.kind == "evicted" for cause in job.retry.after)
        if queue is not None and queue.reclaimable and evicted and job.retry.attempts < _FEW_ATTEMPTS:
            message = (
                f"{counted(job.retry.attempts, 'attempt')}, and the queue '{job.queue}' may be reclaimed"
            )
            site.report("W0704", ("jobs", name, "retry", "attempts"), message)


def queues_are_not_left_without_their_right(site: Site) -> None:
    """W0802: who never ends others takes nothing back from a queue that borrowed."""
    priorities = site.topology.priorities
    for name, job in site.sound("jobs", site.topology.jobs):
        asked = priorities.get(job.priority or "")
        if asked is not None and asked.preempts is False and job.queue in site.topology.queues:
            message = f"'{job.priority}' ends nobody: '{name}' waits while others use what '{job.queue}' lent"
            site.report("W0802", ("jobs", name, "priority"), message)


def schedules_can_be_kept(site: Site) -> None:
    """E0308: a time zone of the IANA database; E0843: names of the runs, NAME-MINUTES, stay below 64 characters."""
    for name, job in site.sound("jobs", site.topology.jobs):
        if job.schedule is None:
            continue
        zone, known = job.schedule.timezone, available_timezones()
        if zone != "UTC" and known and zone not in known:
            message = f"'{zone}' is not a time zone{did_you_mean(zone, known)}"
            site.report("E0308", ("jobs", name, "schedule", "timezone"), message)
        longest = f"{name}-{'0' * _MINUTES}-{_TASK}-{job.gang.workers - 1}"
        if len(name) > _LONGEST_CRON_NAME or len(longest) > _LONGEST_POD_NAME:
            message = f"pods of its runs would have names of {len(longest)} characters, {_LONGEST_POD_NAME} are allowed"
            site.report("E0843", ("jobs", name), message, key=True)


def environment_holds_no_secret(site: Site) -> None:
    """E0311: a variable that is called like a secret gets a reference, never the text."""
    for name, job in site.sound("jobs", site.topology.jobs):
        for variable, value in job.env.items():
            if isinstance(value, str) and value and _SECRET_VARIABLE.search(variable):
                site.report(
                    "E0311", ("jobs", name, "env", variable), f"'{variable}' is a secret that is written out"
                )


def _placed_jobs(site: Site) -> list[tuple[str, Job, PlacedPool]]:
    """Give the jobs with their pools, where both are sound."""
    pools = site.pools()
    jobs = site.sound("jobs", site.topology.jobs)
    return [(name, job, pools[job.pool]) for name, job in jobs if job.pool in pools]
