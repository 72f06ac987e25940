"""Rules about watching: limits that can be passed, figures often enough, receivers with one address, readable secrets.

Called by `load` through checks.every.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.topology.checks.services import LONGEST_MEASURED
from toolkit.topology.checks.site import Site
from toolkit.topology.monitoring import Monitoring
from toolkit.topology.nodes import Path
from toolkit.topology.secret import SecretReference
from toolkit.topology.units import Duration

SHORTEST_INTERVAL = Duration.parse("1s")
LONGEST_INTERVAL = Duration.parse("1m")
"""Rules look at five minutes; with fewer than five figures in them a rate is a guess."""


def limits_can_be_passed(site: Site) -> None:
    """E0860: a histogram ends at its last bound, and no more requests wait than a model's queue takes."""
    alerts = site.topology.alerts
    if alerts.p99 is not None and alerts.p99 >= LONGEST_MEASURED:
        message = f"'p99' is {alerts.p99}, and answers are measured up to {LONGEST_MEASURED}"
        site.report("E0860", ("alerts", "p99"), message)
    places = [model.serving.queue for model in site.topology.models.values()]
    if alerts.queue is not None and places and alerts.queue > max(places):
        message = f"'queue' is {alerts.queue}, and no model lets more than {max(places)} requests wait"
        site.report("E0860", ("alerts", "queue"), message)


def figures_come_often_enough(site: Site) -> None:
    """E0861: an interval that rules can work with."""
    monitoring = site.topology.monitoring
    if monitoring is None or SHORTEST_INTERVAL <= monitoring.interval <= LONGEST_INTERVAL:
        return
    message = f"'interval' is {monitoring.interval}, not from {SHORTEST_INTERVAL} to {LONGEST_INTERVAL}"
    site.report("E0861", ("monitoring", "interval"), message)


def receivers_have_one_address(site: Site) -> None:
    """E0206: exactly one of `url` and `url_from`."""
    monitoring = site.topology.monitoring
    for name, receiver in monitoring.receivers.items() if monitoring else ():
        if (receiver.url is None) == (receiver.url_from is None):
            said = "neither url nor url_from" if receiver.url is None else "both url and url_from"
            site.report("E0206", ("monitoring", "receivers", name), f"'{name}' has {said}", key=True)


def secrets_can_be_read(site: Site) -> None:
    """E0862: neither program reads environment variables, and the operator reads Secrets alone."""
    monitoring = site.topology.monitoring
    if monitoring is None:
        return
    for path, reference, by_operator in _secrets(monitoring):
        if reference.env is not None:
            site.report("E0862", path, f"'{path[-1]}' is in the environment variable {reference.env}")
        elif by_operator and reference.secret is None:
            site.report(
                "E0862", path, f"'{path[-1]}' is in the file {reference.file}, and the operator reads Secrets"
            )


def _secrets(monitoring: Monitoring) -> Iterator[tuple[Path, SecretReference, bool]]:
    """Give path and reference of each secret, and whether the operator has to read it."""
    for name, receiver in monitoring.receivers.items():
        for key, reference in (("url_from", receiver.url_from), ("token", receiver.token)):
            if reference is not None:
                yield ("monitoring", "receivers", name, key), reference, False
    devices = monitoring.devices
    for key, reference in (("ca", devices.ca), ("token", devices.token)) if devices else ():
        if reference is not None:
            yield ("monitoring", "devices", key), reference, monitoring.kind == "operator"
