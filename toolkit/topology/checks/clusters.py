"""Rules about clusters, the broker and the names that Kubernetes objects get.

Called by `load` through checks.every.
"""

from urllib.parse import urlsplit

from toolkit.topology.checks.site import Site
from toolkit.topology.names import TierName
from toolkit.topology.nodes import Path

_LONGEST = {"pools": 40, "models": 50, "services": 50, "queues": 50, "routes": 50}
"""Characters of a name, so that names made from it (tiers-edge-POOL-RUNTIME, POOL-HASH) stay below 63."""


def tiers_are_in_one_cluster(site: Site) -> None:
    """E0525: each tier belongs to exactly one cluster."""
    if not site.shaped.is_sound("clusters") or not site.shaped.is_sound("tiers"):
        return
    first: dict[TierName, str] = {}
    for name, cluster in site.topology.clusters.items():
        for position, tier in enumerate(cluster.tiers):
            if tier in first:
                message = f"the tier {tier} is also in the cluster '{first[tier]}'"
                site.report("E0525", ("clusters", name, "tiers", position), message)
            first.setdefault(tier, name)
    for tier in site.topology.tiers:
        if tier not in first:
            site.report("E0525", ("tiers", tier), f"the tier {tier} is in no cluster", key=True)


def broker_is_encrypted(site: Site) -> None:
    """W0702: only a broker on this machine may speak without TLS."""
    url = urlsplit(site.topology.broker.url)
    if url.scheme == "mqtt" and url.hostname not in {"localhost", "127.0.0.1", "::1"}:
        site.report("W0702", ("broker", "url"), "mqtt:// has no encryption")


def names_leave_room(site: Site) -> None:
    """E0602: names of objects are made from these names."""
    topology = site.topology
    named: list[tuple[Path, int]] = [
        *(
            (("tiers", tier_name, "pools", name), _LONGEST["pools"])
            for tier_name, tier in topology.tiers.items()
            for name in tier.pools
        ),
        *((("models", name), _LONGEST["models"]) for name in topology.models),
        *((("services", name), _LONGEST["services"]) for name in topology.services),
        *((("queues", name), _LONGEST["queues"]) for name in topology.queues),
        *((("routes", name), _LONGEST["routes"]) for name in topology.routes),
    ]
    for path, longest in named:
        if len(str(path[-1])) > longest:
            message = f"'{path[-1]}' has {len(str(path[-1]))} characters, here a name may have {longest}"
            site.report("E0602", path, message, key=True)
