"""Rules about services: room for all replicas, thresholds that do not swing, and a rule that can be measured.

Called by `load` through checks.every.
"""

import re
from collections.abc import Iterator
from zoneinfo import available_timezones

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import counted, did_you_mean
from toolkit.topology.nodes import Path
from toolkit.topology.service import Scale, Service
from toolkit.topology.units import Duration

LONGEST_MEASURED = Duration.parse("10s")
"""Upper bound of the last bucket in which the daemon counts how long answers took."""
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
        each = placed.gpus_per_node * placed.gpu_shares
        room = each // service.gpus_per_replica * placed.pool.nodes.total
        if service.replicas.max > room:
            message = (
                f"{counted(service.replicas.max, 'server')} with {counted(service.gpus_per_replica, 'GPU')} each: "
                f"'{service.pool}' has room for {room}"
            )
            site.report("E0520", ("services", name, "replicas", "max"), message)


def replicas_are_in_order(site: Site) -> None:
    """E0522: min <= at_least of each peak <= max; E0528: a peak has a length."""
    for name, service in site.sound("services", site.topology.services):
        low, high = service.replicas.min, service.replicas.max
        if low > high:
            site.report(
                "E0522", ("services", name, "replicas", "min"), f"'min' is {low}, more than 'max' with {high}"
            )
        for position, peak in enumerate(service.scale.peaks if service.scale else ()):
            path: Path = ("services", name, "scale", "peaks", position)
            if peak.at_least > high:
                message = f"'at_least' is {peak.at_least}, more than replicas.max with {high}"
                site.report("E0522", (*path, "at_least"), message)
            elif peak.at_least < low:
                message = f"'at_least' is {peak.at_least}, less than replicas.min with {low}"
                site.report("E0522", (*path, "at_least"), message)
            if peak.opens == peak.closes:
                site.report("E0528", (*path, "to"), f"'to' is {peak.closes}, the same as 'from'")


def names_are_service_names(site: Site) -> None:
    """E0603: a name that Kubernetes takes for a Service and that no job's Service has; E0502: nor any device."""
    edge = [placed for placed in site.pools().values() if placed.tier_name == "edge"]
    devices = {device: placed.name for placed in edge for device in placed.node_names}
    for name, _ in site.sound("services", site.topology.services):
        if re.fullmatch(_SERVICE_NAME, name, re.ASCII) is None:
            site.report("E0603", ("services", name), f"'{name}' does not begin with a letter", key=True)
        if name in site.topology.jobs:
            site.report("E0603", ("services", name), f"there is also a job '{name}'", key=True)
        if name in devices:
            message = f"there is also a device '{name}' in '{devices[name]}'; to the fleet a service is one"
            site.report("E0502", ("services", name), message, key=True)


def authorities_are_secrets(site: Site) -> None:
    """E0801: pods read Secrets, not files or variables of the machine where tiers.yaml is."""
    for name, service in site.sound("services", site.topology.services):
        authority = service.client_ca
        if authority is not None and authority.secret is None:
            key = "file" if authority.file is not None else "env"
            message = f"'{name}' cannot read {authority.file or authority.env}, which is on this machine"
            site.report("E0801", ("services", name, "client_ca", key), message)


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


def scaling_has_room(site: Site) -> None:
    """E0880: there may be more servers than the fewest; E0881: there is one to measure at all."""
    for name, service, _ in _scaled(site):
        low, high = service.replicas.min, service.replicas.max
        if not low:
            message = "'min' is 0, and what no server answers is not measured"
            site.report("E0881", ("services", name, "replicas", "min"), message)
        if low == high:
            message = f"'scale' has no room: 'min' and 'max' are both {high}"
            site.report("E0880", ("services", name, "scale"), message, key=True)


def thresholds_can_be_measured(site: Site) -> None:
    """E0882: a rule has something to go by; E0883: GPUs are there; E0884, E0889: somebody can be asked."""
    unasked, monitoring = _why_nobody_can_be_asked(site), site.topology.monitoring
    unreadable = monitoring is not None and monitoring.token is not None and monitoring.token.name is None
    for name, service, scale in _scaled(site):
        path: Path = ("services", name, "scale")
        if not scale.measures and not scale.peaks:
            site.report("E0882", path, "'scale' has neither a threshold nor a peak", key=True)
        if scale.gpu is not None and not service.gpus_per_replica:
            site.report("E0883", (*path, "gpu"), "the servers of this service have no GPU", key=True)
        elif scale.predict is not None and scale.gpu is None:
            message = "what an hour needed is known by the use of GPUs, and 'gpu' is missing"
            site.report("E0883", (*path, "predict"), message)
        if unasked and scale.measures:
            site.report("E0884", path, unasked, key=True)
        elif unreadable and scale.measures and scale.by == "keda":
            site.report("E0889", ("monitoring", "token"), "KEDA reads its token from a Secret only")
            unreadable = False  # once is enough


def _why_nobody_can_be_asked(site: Site) -> str:
    """Say why no Prometheus tells an autoscaler about servers; empty when one does."""
    monitoring = site.topology.monitoring
    if not site.shaped.is_sound("monitoring"):
        return ""
    if monitoring is None or monitoring.url is None:
        return "nobody can be asked: monitoring.url is missing"
    return (
        "" if monitoring.asks_pods else "this Prometheus does not ask pods: monitoring.discovery is missing"
    )


def thresholds_can_be_passed(site: Site) -> None:
    """E0887: a queue takes more requests than the limit, and a latency so long is measured."""
    for name, service, scale in _scaled(site):
        path: Path = ("services", name, "scale")
        known = [site.topology.models[each] for each in service.models if each in site.topology.models]
        room = sum(model.serving.queue for model in known)
        if scale.queue is not None and len(known) == len(service.models) and scale.queue.out >= room:
            message = f"'out' is {scale.queue.out}, and the queues of its models are full with {room}"
            site.report("E0887", (*path, "queue", "out"), message)
        if scale.p95 is not None and scale.p95.out >= LONGEST_MEASURED:
            message = f"'out' is {scale.p95.out}, and answers are measured up to {LONGEST_MEASURED}"
            site.report("E0887", (*path, "p95", "out"), message)


def fewer_servers_stay_below_the_limit(site: Site) -> None:
    """W0888: half of the servers go at a time, so the others are used twice as much."""
    for name, _, scale in _scaled(site):
        gpu = scale.gpu
        if gpu is None or gpu.back is None or gpu.back >= gpu.out:
            continue
        if 2 * gpu.back.parts_per_million > gpu.out.parts_per_million:
            message = f"'in' is {gpu.back}, more than half of 'out' with {gpu.out}"
            site.report("W0888", ("services", name, "scale", "gpu", "in"), message)


def what_grows_shrinks_again(site: Site) -> None:
    """E0885: the threshold for fewer servers is the only way back from those for more."""
    for name, _, scale in _scaled(site):
        returns = scale.gpu is not None or (scale.queue is not None and scale.queue.back is not None)
        if (scale.queue or scale.p95 or scale.errors) and not returns:
            message = "servers are added and never removed: no threshold has an 'in'"
            site.report("E0885", ("services", name, "scale"), message, key=True)


def autoscalers_know_their_hours(site: Site) -> None:
    """E0886: a HorizontalPodAutoscaler has no calendar."""
    for name, _, scale in _scaled(site):
        if scale.by == "hpa" and scale.peaks:
            site.report(
                "E0886", ("services", name, "scale", "by"), "'hpa' knows no hours, and there are peaks"
            )


def _scaled(site: Site) -> Iterator[tuple[str, Service, Scale]]:
    """Give the sound services that are scaled."""
    for name, service in site.sound("services", site.topology.services):
        if service.scale is not None:
            yield name, service, service.scale
