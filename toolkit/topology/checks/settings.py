"""Rules about settings of devices, wherever they stand: for a tier, a pool, one device, or in a rule of `overrides`.

Called by `load` through checks.every.
"""

from collections.abc import Iterator
from zoneinfo import available_timezones

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import did_you_mean
from toolkit.topology.nodes import Path
from toolkit.topology.settings import Settings
from toolkit.topology.units import Bytes, Duration

_SHORTEST_REPORT = Duration.parse("1s")
_SMALLEST_OUTBOX = Bytes.parse("2MiB")


def windows_have_a_time_zone(site: Site) -> None:
    """E0308: a time zone of the IANA database; not checked on a machine that has no copy of it."""
    known = available_timezones()
    for path, settings in _settings(site):
        zone = settings.install_window.timezone if settings.install_window else ""
        if zone and known and zone not in known:
            message = f"'{zone}' is not a time zone{did_you_mean(zone, known)}"
            site.report("E0308", (*path, "install_window", "timezone"), message)


def reports_leave_a_pause(site: Site) -> None:
    """E0309: a thousand devices that report without a pause are all that a broker does."""
    for path, settings in _settings(site):
        if "report" in settings.model_fields_set and settings.report < _SHORTEST_REPORT:
            site.report("E0309", (*path, "report"), f"{settings.report} is shorter than {_SHORTEST_REPORT}")


def outboxes_have_room(site: Site) -> None:
    """E0309: what one transaction and the log take leaves nothing of a smaller outbox."""
    for path, settings in _settings(site):
        if settings.outbox < _SMALLEST_OUTBOX:
            site.report("E0309", (*path, "outbox"), f"{settings.outbox} is less than {_SMALLEST_OUTBOX}")


def _settings(site: Site) -> Iterator[tuple[Path, Settings]]:
    """Give all settings that stand in a sound part, and where."""
    for name, tier in site.topology.tiers.items():
        yield ("tiers", name, "settings"), tier.settings
    for placed in site.pools().values():
        path: Path = ("tiers", placed.tier_name, "pools", placed.name)
        yield (*path, "settings"), placed.pool.settings
        for device, settings in placed.pool.devices.items():
            yield (*path, "devices", device), settings
    for position, rule in enumerate(site.topology.overrides):
        if site.shaped.is_sound("overrides", position):
            yield ("overrides", position, "set"), rule.set
