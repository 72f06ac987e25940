"""Rules about the agents that run routes.

Called by `load` through checks.every.
"""

from toolkit.topology.checks.broker import in_cluster
from toolkit.topology.checks.site import Site
from toolkit.topology.nodes import Fields, Path, find


def agents_stand_in_their_tier(site: Site) -> None:
    """E0900: an agent reads its tier's storage, so it runs on machines of that tier; devices bring their own."""
    homes = {name: placed.tier_name for name, placed in site.pools().items()}
    for tier_name, tier in site.topology.tiers.items():
        if tier.agent is None or not site.shaped.is_sound("tiers", tier_name, "agent"):
            continue
        if tier_name == "edge":
            message = "the daemon of each device runs the routes that begin on the edge"
            site.report("E0900", ("tiers", tier_name, "agent"), message, key=True)
        elif homes.get(tier.agent.pool, tier_name) != tier_name:
            message = (
                f"the pool '{tier.agent.pool}' is in the tier {homes[tier.agent.pool]}, not in {tier_name}"
            )
            site.report("E0900", ("tiers", tier_name, "agent", "pool"), message)


def agents_can_log_in(site: Site) -> None:
    """E0907: an agent's certificate, and the logins and keys of storages that pods open, are Secrets of the cluster."""
    tiers = site.topology.tiers
    for tier_name, tier in tiers.items():
        if tier.agent is not None:
            in_cluster(site, ("tiers", tier_name, "agent", "certificate"), tier.agent.certificate)
        used = {tier_name} if tier.agent else set()
        used |= {
            route.source
            for _, route in site.sound("routes", site.topology.routes)
            if route.target == tier_name
        }
        by_rules = site.topology.lifecycle.pool is not None and tier_name != "edge"
        if not by_rules and not any(tiers[name].agent for name in used if name in tiers):
            continue
        path: Path = ("tiers", tier_name, "storage")
        single = isinstance(find(site.root, path), Fields)
        for position, storage in enumerate(tier.storage):
            here: Path = path if single else (*path, position)
            in_cluster(site, (*here, "credentials"), storage.credentials)
            for name, each in (("known_hosts", storage.known_hosts), ("ca", storage.ca)):
                if each and not each.env:  # a variable is E0922
                    in_cluster(site, (*here, name), each)
            if storage.key and not storage.key.env:  # a variable is E0922
                in_cluster(site, (*here, "encryption", "key"), storage.key)
