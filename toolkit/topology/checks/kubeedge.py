"""Rules about KubeEdge: jobs that it runs on devices, and the versions that may run them.

Called by `load` through checks.every.
"""

from toolkit.topology.checks.site import Site
from toolkit.topology.kubeedge import KubeEdge
from toolkit.topology.kubeedge_version import first_fixed, is_fixed, numbers_of
from toolkit.topology.nodes import Path
from toolkit.topology.topology import PlacedPool


def pulls_ahead_are_sound(site: Site) -> None:
    """E0820: jobs on devices need a KubeEdge without known holes; E0823: their login is a Secret of the cluster."""
    for name, cluster in site.sound("clusters", site.topology.clusters):
        if cluster.kubeedge is None or cluster.kubeedge.prepull is None:
            continue
        path: Path = ("clusters", name, "kubeedge")
        version = cluster.kubeedge.version
        if not is_fixed(numbers_of(version) or (0, 0, 0)):
            message = f"prepull by KubeEdge {version}; sound are {first_fixed()} and later"
            place = "version" if "version" in cluster.kubeedge.model_fields_set else "prepull"
            site.report("E0820", (*path, place), message)
        login = cluster.kubeedge.prepull.credentials
        if login is not None and login.name is None:
            message = "these credentials are no Kubernetes Secret"
            site.report("E0823", (*path, "prepull", "credentials"), message, key=True)
        elif login is not None and login.key is not None:
            message = f"KubeEdge takes the whole Secret '{login.name}', not its key '{login.key}'"
            site.report("E0823", (*path, "prepull", "credentials"), message, key=True)


def upgrades_go_up(site: Site) -> None:
    """E0820: not to a version with known holes; E0821: not down, not ahead of CloudCore; E0822: only devices."""
    for placed in site.pools().values():
        upgrade = placed.pool.upgrade
        if upgrade is None:
            continue
        path: Path = ("tiers", placed.tier_name, "pools", placed.name, "upgrade")
        if placed.tier_name != "edge":
            message = f"the pool '{placed.name}' is on the tier {placed.tier_name} and has no EdgeCore"
            site.report("E0822", path, message, key=True)
            continue
        kubeedge = _kubeedge(site, placed)
        if kubeedge is None:
            message = f"the cluster of '{placed.name}' has no kubeedge, so CloudCore's version is not known"
            site.report("E0822", path, message, key=True)
            continue
        wanted, cloud = numbers_of(upgrade.to), numbers_of(kubeedge.version)
        if wanted is None or cloud is None:
            continue
        if not is_fixed(wanted):
            message = f"KubeEdge {upgrade.to} has known holes; sound are {first_fixed()} and later"
            site.report("E0820", (*path, "to"), message)
        elif wanted[:2] > cloud[:2]:
            message = f"EdgeCore {upgrade.to} would be ahead of CloudCore {kubeedge.version}"
            site.report("E0821", (*path, "to"), message)
        elif wanted < cloud:
            message = f"devices join with {kubeedge.version}, so {upgrade.to} is a step back"
            site.report("E0821", (*path, "to"), message)


def _kubeedge(site: Site, placed: PlacedPool) -> KubeEdge | None:
    """Give the KubeEdge of a pool's cluster; None when it has none, or when no cluster has the pool."""
    try:
        cluster = site.topology.cluster_of(placed)
    except KeyError:
        return None
    return site.topology.clusters[cluster].kubeedge
