"""Rules about services: room for all replicas, thresholds that do not swing.

Called by `load` through checks.every.
"""

import re
from zoneinfo import available_timezones

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import counted, did_you_mean
from toolkit.topology.nodes import Path

_SERVICE_NAME = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
"""RFC 1035 label."""


def services_fit_their_pool(site: Site) -> None:
    """E0519: not on the edge; E0520: the pool's GPUs hold the largest number of servers."""
    pools = site.pools()
    for name, service in site.sound("services", site.topology.services):
        placed = pools.get(service.pool)
        if placed is None:
            continue
        if placed.tier_name == "edge":
            site.report(
                "E0519",
                ("services", name, "pool"),
                f"'{service.pool}' is an edge pool; there the daemon serves",
            )
            continue
        if not service.gpus_per_replica:
            continue
        room = placed.gpus_per_node // service.gpus_per_replica * placed.pool.nodes.total
        if service.replicas.max > room:
            message = (
                f"{counted(service.replicas.max, 'server')} with {counted(service.gpus_per_replica, 'GPU')} each: "
                f"'{service.pool}' has room for {room}"
            )
            site.report("E0520", ("services", name, "replicas", "max"), message)


def replicas_are_in_order(site: Site) -> None:
    """E0522: min <= at_least of each peak <= max."""
    for name, service in site.sound("services", site.topology.services):
        low, high = service.replicas.min, service.replicas.max
        if low > high:
            site.report(
                "E0522", ("services", name, "replicas", "min"), f"'min' is {low}, more than 'max' with {high}"
            )
        for position, peak in enumerate(service.scale.peaks if service.scale else ()):
            path: Path = ("services", name, "scale", "peaks", position)
            if peak.at_least > high:
                site.report(
                    "E0522",
                    (*path, "at_least"),
                    f"'at_least' is {peak.at_least}, more than replicas.max with {high}",
                )
            if peak.opens >= peak.closes:
                site.report(
                    "E0528", (*path, "to"), f"'to' is {peak.closes}, not after 'from' with {peak.opens}"
                )


def names_are_service_names(site: Site) -> None:
    """E0603: a name that Kubernetes takes for a Service and that no job's Service has."""
    for name, _ in site.sound("services", site.topology.services):
        if re.fullmatch(_SERVICE_NAME, name, re.ASCII) is None:
            site.report("E0603", ("services", name), f"'{name}' does not begin with a letter", key=True)
        if name in site.topology.jobs:
            site.report("E0603", ("services", name), f"there is also a job '{name}'", key=True)


def peaks_have_a_time_zone(site: Site) -> None:
    """E0308: a time zone of the IANA database; not checked on a machine that has no copy of it."""
    for name, service in site.sound("services", site.topology.services):
        zone = service.scale.timezone if service.scale else "UTC"
        if zone == "UTC":
            continue
        known = available_timezones()
        if known and zone not in known:
            message = f"'{zone}' is not a time zone{did_you_mean(zone, known)}"
            site.report("E0308", ("services", name, "scale", "timezone"), message)


def thresholds_do_not_swing(site: Site) -> None:
    """E0521: servers are removed below a lower value than the one above which they are added."""
    for name, service in site.sound("services", site.topology.services):
        scale = service.scale
        if scale is None:
            continue
        if scale.gpu is not None and scale.gpu.back is not None and scale.gpu.back >= scale.gpu.out:
            message = f"'in' is {scale.gpu.back}, not below 'out' with {scale.gpu.out}"
            site.report("E0521", ("services", name, "scale", "gpu", "in"), message)
        if scale.queue is not None and scale.queue.back is not None and scale.queue.back >= scale.queue.out:
            message = f"'in' is {scale.queue.back}, not below 'out' with {scale.queue.out}"
            site.report("E0521", ("services", name, "scale", "queue", "in"), message)
