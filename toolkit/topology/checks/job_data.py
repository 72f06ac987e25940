"""Rules about data that come ahead of need: is there a measure, a place for them, and do they stay until they are read?

Called by `load` through checks.every. What they are meant to keep out, `toolkit.sync.prefetch` would refuse in the pod,
when the gang holds its GPUs already.
"""

from toolkit.topology.checks.site import Site
from toolkit.topology.nodes import Path
from toolkit.topology.storage import Storage
from toolkit.topology.units import Bytes


def looking_ahead_has_a_measure(site: Site) -> None:
    """E0530: bring: ahead has a budget, and only it; E0531: the budget fits into the tier."""
    pools = site.pools()
    for name, job in site.sound("jobs", site.topology.jobs):
        data, path = job.data, ("jobs", name, "data")
        if data is None:
            continue
        if data.bring == "whole":
            for key, value in (("budget", data.budget), ("ahead", data.ahead)):
                if value is not None:
                    site.report("E0530", (*path, key), f"{key} is for bring: ahead only", key=True)
        elif data.budget is None:
            site.report(
                "E0530", (*path, "bring"), f"the data of '{name}' come ahead of need without a budget"
            )
        elif job.pool in pools:
            storages = site.topology.tiers[pools[job.pool].tier_name].storage
            room = _room(storages[0]) if storages else None
            if room is not None and data.budget > room:
                home = pools[job.pool].tier_name
                message = f"the budget is {data.budget}, the storage of {home} holds {room}"
                site.report("E0531", (*path, "budget"), message)


def data_ahead_have_a_way(site: Site) -> None:
    """E0532: from another tier to a mirror; E0512: the job's own tier has a storage."""
    pools = site.pools()
    for name, job in site.sound("jobs", site.topology.jobs):
        if job.data is None or job.data.bring != "ahead" or job.pool not in pools:
            continue
        home, path = pools[job.pool].tier_name, ("jobs", name, "data", "bring")
        storages = site.topology.tiers[home].storage
        if job.data.source == home:
            site.report(
                "E0532", ("jobs", name, "data", "from"), f"'{name}' runs in {home}, where its data are"
            )
        elif not site.shaped.is_sound("tiers", home, "storage"):
            continue
        elif not storages:
            site.report("E0512", path, f"the tier {home} has no storage")
        elif storages[0].kept_as != "mirror":
            site.report(
                "E0532", path, f"'{name}' runs in {home}, whose storage {storages[0].url} keeps packs"
            )


def data_ahead_stay_where_they_are(site: Site) -> None:
    """E0533: no route empties what a job reads from."""
    for name, job in site.sound("jobs", site.topology.jobs):
        if job.data is None or job.data.bring != "ahead":
            continue
        for route_name, route in site.sound("routes", site.topology.routes):
            same = route.source == job.data.source and _overlap(route.path, job.data.path)
            if same and route.then == "remove_source":
                path: Path = ("jobs", name, "data", "bring")
                message = f"the route '{route_name}' takes {route.path} away from {route.source}"
                site.report("E0533", path, message)


def _room(storage: Storage) -> Bytes | None:
    given = [each for each in (storage.capacity, storage.claim.size if storage.claim else None) if each]
    return min(given, default=None)


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
