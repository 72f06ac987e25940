"""Rules about machines that the cloud may take back: only work that may be lost and begun again stands there.

Called by `load` through checks.every.
"""

from toolkit.topology.checks.site import Site
from toolkit.topology.nodes import Path
from toolkit.topology.topology import PlacedPool


def devices_are_not_rented(site: Site) -> None:
    """E0805: a machine beside a patient is nobody's to take back."""
    for placed in site.pools().values():
        if placed.tier_name == "edge" and placed.pool.spot is not None:
            path: Path = ("tiers", "edge", "pools", placed.name, "spot")
            message = f"'{placed.name}' are devices, which no cloud takes back"
            site.report("E0805", path, message, key=True)


def critical_work_keeps_its_machines(site: Site) -> None:
    """E0806: servers, the broker, and jobs with the highest of several priorities."""
    rented = _rented(site)
    for name, service in site.sound("services", site.topology.services):
        if service.pool in rented:
            message = (
                f"somebody waits for the answers of '{name}', and the machines of '{service.pool}' may go"
            )
            site.report("E0806", ("services", name, "pool"), message)
    deploy = site.topology.broker.deploy
    if deploy is not None and deploy.pool in rented:
        message = f"all devices hang on the broker, and the machines of '{deploy.pool}' may go"
        site.report("E0806", ("broker", "deploy", "pool"), message)
    values = {name: each.value for name, each in site.topology.priorities.items()}
    first = max(values.values(), default=0)
    for name, job in site.sound("jobs", site.topology.jobs):
        highest = len(set(values.values())) > 1 and values.get(job.priority or "") == first
        if highest and job.pool in rented:
            message = f"'{job.priority}' goes before everything else, and the machines of '{job.pool}' may go"
            site.report("E0806", ("jobs", name, "pool"), message)


def jobs_survive_the_loss_of_a_machine(site: Site) -> None:
    """W0807: checkpoints and another start; W0808: no more time for the last checkpoint than there is."""
    rented = _rented(site)
    for name, job in site.sound("jobs", site.topology.jobs):
        placed = rented.get(job.pool)
        if placed is None or placed.pool.spot is None:
            continue
        if job.checkpoints is None:
            site.report(
                "W0807", ("jobs", name, "pool"), f"'{name}' has no checkpoints, and '{job.pool}' may go"
            )
        elif all(cause.kind != "evicted" for cause in job.retry.after):
            message = f"'{name}' does not start again after 'evicted', and '{job.pool}' may go"
            site.report("W0807", ("jobs", name, "retry", "after"), message)
        notice = placed.pool.spot.mark.notice_seconds
        if "grace" in job.model_fields_set and job.grace.seconds > notice:
            message = f"{job.grace}, and {placed.pool.spot.provider} leaves a pod {notice}s"
            site.report("W0808", ("jobs", name, "grace"), message)


def _rented(site: Site) -> dict[str, PlacedPool]:
    """Give the pools of machines that may go, by name."""
    return {name: placed for name, placed in site.pools().items() if placed.pool.spot is not None}
