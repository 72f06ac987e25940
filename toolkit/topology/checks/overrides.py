"""Rules about overrides: each is for somebody and says something.

Called by `load` through checks.every.
"""

from toolkit.topology.checks.site import Site
from toolkit.topology.effective import rules_for
from toolkit.topology.findings import did_you_mean
from toolkit.topology.nodes import Path
from toolkit.topology.override import Override

_ROWS_LEFT_OUT = {"E0118", "E0401"}
"""Problems of an inventory whose rows then become no devices."""


def overrides_say_something(site: Site) -> None:
    """E0930: a rule has a condition and sets something."""
    for position, rule in _overrides(site):
        path: Path = ("overrides", position)
        if not rule.match.names and not rule.match.labels:
            site.report("E0930", (*path, "match"), "'match' has neither names nor labels", key=True)
        if not rule.set.model_fields_set:
            site.report("E0930", (*path, "set"), "'set' sets nothing", key=True)


def overrides_match_somebody(site: Site) -> None:
    """W0931: a rule that no device fits, which is said only when all devices are known."""
    overrides = site.topology.overrides
    complete = site.shaped.is_sound("tiers") and site.shaped.is_sound("overrides")
    if not complete or any(finding.code in _ROWS_LEFT_OUT for finding in site.findings.found):
        return
    used = {
        position
        for placed in site.pools().values()
        if placed.tier_name == "edge"
        for device in placed.node_names
        for position in rules_for(placed, device, overrides)
    }
    for position, rule in _overrides(site):
        if position not in used and (rule.match.names or rule.match.labels):
            wanted = [*rule.match.names, *(f"{key}={value}" for key, value in rule.match.labels.items())]
            message = f"no device matches {', '.join(wanted)}"
            site.report("W0931", ("overrides", position, "match"), message, key=True)


def labels_belong_to_devices(site: Site) -> None:
    """E0931: own labels name a device of their pool, and only the edge tier has devices."""
    for placed in site.pools().values():
        path: Path = ("tiers", placed.tier_name, "pools", placed.name, "nodes", "own_labels")
        if placed.pool.nodes.own_labels and placed.tier_name != "edge":
            message = f"'own_labels' are for devices, and the tier {placed.tier_name} has none"
            site.report("E0931", path, message, key=True)
            continue
        names = dict.fromkeys(placed.node_names)
        for name in placed.pool.nodes.own_labels:
            if name not in names:
                message = f"the pool '{placed.name}' has no device '{name}'{did_you_mean(name, names)}"
                site.report("E0931", (*path, name), message, key=True)


def _overrides(site: Site) -> list[tuple[int, Override]]:
    return list(enumerate(site.topology.overrides))
