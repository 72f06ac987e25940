"""Rules about what happens to data as it ages.

Called by `load` through checks.every.
"""

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import listed
from toolkit.topology.lifecycle import LifecycleRule
from toolkit.topology.names import TIER_NAMES

_COLDER, _HOTTER = "demote", "recall"
_STAYING = {"expire", "pin", "hold"}


def rules_have_a_way(site: Site) -> None:
    """E0961: what goes says where to, and what stays does not; E0512: tiers that are named have a storage."""
    for name, rule in site.topology.lifecycle.rules.items():
        path = ("lifecycle", "rules", name)
        if not site.shaped.is_sound(*path):
            continue
        if fault := _fault_of(rule):
            site.report("E0961", (*path, fault[0]), fault[1])
        for end, tier_name in (("from", rule.source), ("to", rule.target)):
            tier = site.topology.tiers.get(tier_name) if tier_name else None
            sound = bool(tier_name) and site.shaped.is_sound("tiers", str(tier_name), "storage")
            if tier is not None and not tier.storage and sound:
                site.report("E0512", (*path, end), f"the tier {tier_name} has no storage")


def rules_are_carried_out_on_servers(site: Site) -> None:
    """E0519: devices see no storage but their own."""
    pool = site.topology.lifecycle.pool
    placed = site.pools().get(pool) if pool else None
    if placed is not None and placed.tier_name == "edge":
        site.report(
            "E0519", ("lifecycle", "pool"), f"'{pool}' is an edge pool, rules are carried out on servers"
        )


def keeping_counts_one_thing(site: Site) -> None:
    """E0206: last, best or every; best goes with a metric."""
    for rule_name, rule in site.topology.lifecycle.rules.items():
        keep, path = rule.keep, ("lifecycle", "rules", rule_name, "keep")
        if keep is None or not site.shaped.is_sound("lifecycle", "rules", rule_name):
            continue
        given = [key for key in ("last", "best", "every") if getattr(keep, key) is not None]
        if len(given) != 1:
            said = f"it has {listed(given)}" if given else "it has none of them"
            site.report(
                "E0206", path, f"keep counts by exactly one of last, best and every; {said}", key=True
            )
        elif (keep.best is None) != (keep.metric is None):
            site.report("E0206", path, "best and metric of keep go together", key=True)


def marks_are_in_order(site: Site) -> None:
    """E0962: the low mark is not above the high one, and somebody has said how much a storage holds."""
    for name, tier in site.topology.tiers.items():
        if not site.shaped.is_sound("tiers", name):
            continue
        marks, path = tier.watermarks, ("tiers", name, "watermarks")
        if marks is None:
            continue
        if marks.low > marks.high:
            site.report(
                "E0962", path, f"the low mark {marks.low} is above the high one {marks.high}", key=True
            )
        elif not any(storage.capacity for storage in tier.storage):
            site.report("E0962", path, f"no storage of {name} says its capacity", key=True)


def _fault_of(rule: LifecycleRule) -> tuple[str, str] | None:
    """Give the key and what is wrong with where a rule leads; None when nothing is."""
    action, source, target = rule.action, rule.source, rule.target
    if source == "edge":
        return "from", "a device's data leave by routes; rules look at hot, warm and cold"
    if target == "edge":
        return "to", "data reach devices as artifacts, not by rules"
    if action in {"copy", "move"} and target is None:
        return "action", f"{action} does not say where to"
    if action in _STAYING and target is not None:
        return "to", f"{action} goes nowhere"
    if source is None or target is None:
        return None
    if source == target:
        return "to", f"it goes from {source} to itself"
    colder = TIER_NAMES.index(target) > TIER_NAMES.index(source)
    if (action == _COLDER and not colder) or (action == _HOTTER and colder):
        return "to", f"{target} is not {'colder' if action == _COLDER else 'hotter'} than {source}"
    return None
