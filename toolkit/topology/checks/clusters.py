"""Rules about clusters, the broker and the names that Kubernetes objects get.

Called by `load` through checks.every.
"""

from urllib.parse import urlsplit

from toolkit.link.presets import OF_BROKER, PRESETS
from toolkit.topology.checks.site import Site
from toolkit.topology.nodes import Path

_LONGEST = {"pools": 40, "models": 50, "services": 50, "queues": 50, "routes": 50}
"""Characters of a name, so that names made from it (tiers-edge-POOL-RUNTIME, POOL-HASH) stay below 63."""


def machines_are_in_one_cluster(site: Site) -> None:
    """E0525: each pool belongs to exactly one cluster, by its own name or by its tier's."""
    if not site.shaped.is_sound("clusters") or not site.shaped.is_sound("tiers"):
        return
    empty = [name for name, each in site.topology.clusters.items() if not each.tiers and not each.pools]
    for name in empty:
        message = f"the cluster '{name}' has neither tiers nor pools"
        site.report("E0525", ("clusters", name), message, key=True)
    if not empty:  # else its tiers would be reported as being in no cluster
        _each_has_one_home(site)


def _each_has_one_home(site: Site) -> None:
    first: dict[tuple[str, str], str] = {}
    for name, cluster in site.topology.clusters.items():
        for key, noun, names in (("tiers", "tier", cluster.tiers), ("pools", "pool", cluster.pools)):
            for position, each in enumerate(names):
                if (noun, each) in first:
                    message = f"the {noun} {each} is also in the cluster '{first[noun, each]}'"
                    site.report("E0525", ("clusters", name, key, position), message)
                first.setdefault((noun, each), name)
    for tier_name, tier in site.topology.tiers.items():
        lost = [pool for pool in tier.pools if ("pool", pool) not in first]
        if ("tier", tier_name) in first or (tier.pools and not lost):
            continue
        if len(lost) == len(tier.pools):
            site.report("E0525", ("tiers", tier_name), f"the tier {tier_name} is in no cluster", key=True)
            continue
        for pool in lost:
            message = f"the pool {pool} is in no cluster, and neither is its tier {tier_name}"
            site.report("E0525", ("tiers", tier_name, "pools", pool), message, key=True)


def broker_is_encrypted(site: Site) -> None:
    """W0702: only a broker on this machine may speak without TLS. Where the preset demands it, E0909 has said so."""
    broker = site.topology.broker
    url = urlsplit(broker.url)
    if PRESETS[OF_BROKER[broker.preset]].needs_tls or url.scheme != "mqtt":
        return
    if url.hostname not in {"localhost", "127.0.0.1", "::1"}:
        site.report("W0702", ("broker", "url"), "mqtt:// has no encryption")


def scheduler_is_not_beta(site: Site) -> None:
    """W0706: Volcano's documentation calls the actions gangpreempt and gangreclaim beta."""
    if site.topology.scheduler.profile == "whole-gang":
        site.report("W0706", ("scheduler", "profile"), "'whole-gang' rests on what Volcano calls beta")


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
