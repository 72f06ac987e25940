"""Rules about routes and about data that jobs take and leave.

Called by `load` through checks.every.
"""

from zoneinfo import available_timezones

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import counted, did_you_mean
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


def weights_go_to_packs(site: Site) -> None:
    """E0534: only packs keep how far weights moved."""
    for name, route in site.sound("routes", site.topology.routes):
        tier = site.topology.tiers.get(route.target)
        if (
            route.content != "weights"
            or tier is None
            or not site.shaped.is_sound("tiers", route.target, "storage")
        ):
            continue
        places = tier.storage[1:] if route.source == route.target else tier.storage[:1]
        if places and not any(place.kept_as == "packs" for place in places):
            message = f"{', '.join(place.url for place in places)} keeps files as they are"
            site.report("E0534", ("routes", name, "content"), message)


def triggers_agree(site: Site) -> None:
    """E0206: a route that runs on demand has no clock."""
    for name, route in site.sound("routes", site.topology.routes):
        if route.trigger == "demand" and route.every is not None:
            site.report(
                "E0206", ("routes", name, "every"), "the route has both every and trigger: demand", key=True
            )


def hours_can_be_told(site: Site) -> None:
    """E0528: hours have a length; E0308: a time zone of the IANA database, where this machine has a copy of it."""
    for name, route in site.sound("routes", site.topology.routes):
        for position, hours in enumerate(route.hours):
            if hours.opens == hours.closes:
                message = f"'to' is {hours.closes}, the same as 'from'"
                site.report("E0528", ("routes", name, "hours", position, "to"), message)
        known = available_timezones() if route.timezone != "UTC" else set()
        if known and route.timezone not in known:
            message = f"'{route.timezone}' is not a time zone{did_you_mean(route.timezone, known)}"
            site.report("E0308", ("routes", name, "timezone"), message)
