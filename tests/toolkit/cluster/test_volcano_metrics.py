"""What the rules read of Volcano is what its scheduler and its controllers answer, with the labels of our list."""

from __future__ import annotations

import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from toolkit.render.monitoring.series import CONTROLLER, SCHEDULER, SERIES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def exported(port: int) -> dict[str, set[str]]:
    """Give the names of a page's samples, each with its labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_volcano_exports_what_the_rules_read(site, plane, wait_until):
    own = site({"services": None, "models": None})
    assert own.apply().failed == ()
    port_of = dict(zip((SCHEDULER, CONTROLLER), plane.metrics_ports, strict=True))
    listed = [each for each in SERIES if each.source in port_of]
    assert len(listed) == 7
    missing: list[str] = []

    def all_there() -> bool:
        pages = {source: exported(port) for source, port in port_of.items()}
        missing.clear()
        for each in listed:
            name = f"{each.name}_count" if each.kind == "histogram" else each.name
            labels = pages[each.source].get(name)
            if labels is None or not set(each.labels) <= labels:
                missing.append(each.name)
        return not missing

    try:
        wait_until(all_there, "every series is there")
    except pytest.fail.Exception:
        pytest.fail(f"not exported: {missing}")
