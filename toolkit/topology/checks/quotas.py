"""Rules about quotas: does what has a priority fit into what all of that priority may use?

Called by `load` through checks.every. The API server counts pods one by one, so it lets a part of a gang through: the
classic way in which two gangs wait for each other for ever (volcano-sh/volcano#1387).
"""

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import listed
from toolkit.topology.job import Gang
from toolkit.topology.priority import SERVICE_PRIORITY
from toolkit.topology.quota import Quota
from toolkit.topology.units import Bytes

_AMOUNTS = ("gpus", "cpus", "memory", "pods")
_SURGE = 1
"""Servers above the most while they are replaced: a new one answers before an old one goes."""


def quotas_limit_something(site: Site) -> None:
    """E0202: a quota without amounts."""
    for name, quota in site.sound("quotas", site.topology.quotas):
        if all(_most(quota, amount) is None for amount in _AMOUNTS):
            message = f"the quota of '{name}' limits nothing; it takes {listed(_AMOUNTS, 'or')}"
            site.report("E0202", ("quotas", name), message, key=True)


def gangs_and_services_fit_their_quota(site: Site) -> None:
    """E0803: all pods that must run at a time are let through."""
    quotas = dict(site.sound("quotas", site.topology.quotas))
    for name, job in site.sound("jobs", site.topology.jobs):
        quota = quotas.get(job.priority or "", Quota())
        for amount, count, most in _above(quota, _wanted(job.gang)):
            message = f"the gang wants {_said(amount, count)}, '{job.priority}' has a quota of {_said(amount, most)}"
            site.report("E0803", ("jobs", name, "gang"), message, key=True)
    quota = quotas.get(SERVICE_PRIORITY, Quota())
    for name, service in site.sound("services", site.topology.services):
        servers = service.replicas.max + _SURGE
        wanted = {"gpus": servers * service.gpus_per_replica, "pods": servers}
        for amount, count, most in _above(quota, wanted):
            message = f"its servers want {_said(amount, count)} with the one that a new version starts first"
            message += f", '{SERVICE_PRIORITY}' has a quota of {_said(amount, most)}"
            site.report("E0803", ("services", name, "replicas", "max"), message)


def gangs_fit_together(site: Site) -> None:
    """W0804: the gangs of a priority, all started at once."""
    for name, quota in site.sound("quotas", site.topology.quotas):
        gangs = [job.gang for _, job in site.sound("jobs", site.topology.jobs) if job.priority == name]
        if any(_above(quota, _wanted(gang)) for gang in gangs):
            continue  # E0803 says so
        together: dict[str, int] = {}
        for gang in gangs:
            for amount, wanted in _wanted(gang).items():
                together[amount] = together.get(amount, 0) + wanted
        for amount, wanted, most in _above(quota, together):
            message = f"{len(gangs)} gangs of '{name}' want {_said(amount, wanted)} together, not {_said(amount, most)}"
            site.report("W0804", ("quotas", name, amount), message)


def _wanted(gang: Gang) -> dict[str, int]:
    """Give what a gang must have to run, as far as tiers.yaml says it; memory in bytes."""
    each = {
        "gpus": gang.gpus_per_worker,
        "cpus": gang.cpus_per_worker or 0,
        "memory": gang.memory_per_worker.count if gang.memory_per_worker else 0,
        "pods": 1,
    }
    return {amount: count * gang.minimum for amount, count in each.items()}


def _above(quota: Quota, wanted: dict[str, int]) -> tuple[tuple[str, int, int], ...]:
    """Give the amounts above the quota: name, wanted, most."""
    limits = ((amount, wanted.get(amount, 0), _most(quota, amount)) for amount in _AMOUNTS)
    return tuple((amount, count, most) for amount, count, most in limits if most is not None and count > most)


def _most(quota: Quota, amount: str) -> int | None:
    value: int | Bytes | None = getattr(quota, amount)
    return value.count if isinstance(value, Bytes) else value


def _said(amount: str, count: int) -> str:
    words = {"gpus": "GPUs", "cpus": "cores", "pods": "pods"}
    return f"{count} {words[amount]}" if amount in words else f"{Bytes(count)} of memory"
