"""Rules about routes and about data that jobs take and leave.

Called by `load` through checks.every.
"""

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import counted
from toolkit.topology.names import TierName
from toolkit.topology.nodes import Path


def ends_have_storage(site: Site) -> None:
    """E0512: data needs a place at both ends."""
    ends: list[tuple[Path, TierName]] = []
    for name, route in site.sound("routes", site.topology.routes):
        ends += [(("routes", name, "from"), route.source), (("routes", name, "to"), route.target)]
    for name, job in site.sound("jobs", site.topology.jobs):
        if job.data is not None:
            ends.append((("jobs", name, "data", "from"), job.data.source))
        if job.checkpoints is not None:
            ends.append((("jobs", name, "checkpoints", "to"), job.checkpoints.target))
    for path, tier_name in ends:
        tier = site.topology.tiers.get(tier_name)
        if tier is not None and not tier.storage and site.shaped.is_sound("tiers", tier_name, "storage"):
            site.report("E0512", path, f"the tier {tier_name} has no storage")


def copies_have_places(site: Site) -> None:
    """E0510: a tier to itself only with copies; E0511: as many storages as copies, and only within a tier."""
    for name, route in site.sound("routes", site.topology.routes):
        tier = site.topology.tiers.get(route.source)
        if route.source != route.target:
            if route.copies is not None:
                message = (
                    f"copies are kept inside one tier; this route goes from {route.source} to {route.target}"
                )
                site.report("E0511", ("routes", name, "copies"), message)
        elif route.copies is None:
            site.report(
                "E0510",
                ("routes", name, "to"),
                f"the route goes from {route.source} to itself, without copies",
            )
        elif (
            tier is not None
            and route.copies > len(tier.storage)
            and site.shaped.is_sound("tiers", route.source, "storage")
        ):
            message = (
                f"{route.copies} copies, the tier {route.source} has {counted(len(tier.storage), 'storage')}"
            )
            site.report("E0511", ("routes", name, "copies"), message)


def triggers_agree(site: Site) -> None:
    """E0206: a route that runs on demand has no clock."""
    for name, route in site.sound("routes", site.topology.routes):
        if route.trigger == "demand" and route.every is not None:
            site.report(
                "E0206", ("routes", name, "every"), "the route has both every and trigger: demand", key=True
            )
