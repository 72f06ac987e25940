"""Rules about racks and the gangs that want to stay in one.

Called by `load` through checks.every. Volcano's preempt passes over jobs with networkTopology (issue 4374, and
pkg/scheduler/actions/preempt of v1.15.1); its newer gangpreempt does not.
"""

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import did_you_mean
from toolkit.topology.nodes import Path
from toolkit.topology.topology import PlacedPool


def racks_hold_machines_of_their_pool(site: Site) -> None:
    """E0850: a rack has names or labels, names are machines of the pool, and no machine stands in two racks."""
    for placed in site.pools().values():
        home: dict[str, str] = {}
        names = dict.fromkeys(placed.node_names)
        for rack, each in placed.pool.nodes.racks.items():
            path: Path = ("tiers", placed.tier_name, "pools", placed.name, "nodes", "racks", rack)
            if bool(each.names) == bool(each.labels):
                both = "both names and labels" if each.names else "neither names nor labels"
                site.report("E0850", path, f"the rack '{rack}' has {both}", key=True)
            for position, name in enumerate(each.names):
                if name not in names:
                    message = f"the pool '{placed.name}' has no machine '{name}'{did_you_mean(name, names)}"
                    site.report("E0850", (*path, "names", position), message)
                elif name in home:
                    message = f"'{name}' stands in the rack '{home[name]}' too"
                    site.report("E0850", (*path, "names", position), message)
                home.setdefault(name, rack)


def gangs_fit_their_racks(site: Site) -> None:
    """E0851: there are racks, and one of them holds the gang; E0852: the scheduler can make room for it."""
    pools = site.pools()
    for name, job in site.sound("jobs", site.topology.jobs):
        placed, network = pools.get(job.pool), job.gang.network
        if placed is None or network is None:
            continue
        path: Path = ("jobs", name, "gang", "network")
        room = _largest(placed, job.gang.gpus_per_worker) if network.highest_tier == 1 else None
        if not placed.pool.nodes.racks:
            site.report("E0851", path, f"the pool '{job.pool}' has no racks", key=True)
        elif network.mode == "hard" and room is not None and job.gang.minimum > room:
            message = f"the largest rack of '{job.pool}' has room for {room}, the gang has {job.gang.minimum} workers"
            site.report("E0851", path, message, key=True)
        elif site.topology.scheduler.profile != "whole-gang":
            message = f"the profile '{site.topology.scheduler.profile}' preempts, and passes over this gang"
            site.report("E0852", path, message, key=True)


def _largest(placed: PlacedPool, gpus: int) -> int | None:
    """Give how many workers the largest rack holds; None where only labels say which machines it has."""
    racks = placed.pool.nodes.racks.values()
    if not gpus or any(each.labels for each in racks):
        return None
    return max(len(each.names) for each in racks) * (placed.gpus_per_node // gpus)
