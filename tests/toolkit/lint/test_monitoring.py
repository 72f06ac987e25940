"""Rules of Prometheus are found wherever they are, and what is known of scraping is taken from all that says it."""

from __future__ import annotations

import pytest
import yaml

from toolkit.lint.check import lint
from toolkit.lint.document import PROMETHEUS_KIND, RULES_KIND, from_objects, from_text
from toolkit.lint.monitoring_document import shortest_interval
from toolkit.lint.monitoring_series import VOLCANO
from toolkit.lint.neighbours import neighbours
from toolkit.lint.schema import schemas_from, validate

FILE = """\
groups:
  - name: queues
    rules:
      - alert: Behind
        expr: max(queue_depth) > 100
        for: 10s
        labels: {severity: warning}
        annotations: {summary: too many requests wait}
      - alert: Quiet
        expr: absent(queue_depth)
        labels: {severity: warning}
"""
PROMETHEUS = """\
global: {scrape_interval: 15s}
scrape_configs:
  - {job_name: edge, scrape_interval: 1m}
  - {job_name: dcgm}
"""


def config_map(**data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "rules"}, "data": data}


def test_a_plain_file_of_rules_is_read_with_positions():
    (document,) = from_text(FILE, "rules.yml")
    assert document.kind == RULES_KIND
    (problem,) = lint([document])
    assert (problem.code, str(problem.place)) == ("L466", "rules.yml:9:9")
    assert validate([document], schemas_from([])).unchecked == ()


def test_rules_in_a_config_map_are_told_with_their_place_inside():
    (problem,) = lint(from_objects([config_map(**{"rules.yaml": FILE})]))
    assert problem.code == "L466"
    assert problem.message.startswith("groups[0].rules[1]: alert Quiet")
    assert str(problem.place) == "ConfigMap rules data.rules.yaml"


def test_other_texts_and_files_with_groups_are_left_alone():
    other = {"users.yaml": "groups: [admins]\n", "broken.yaml": "groups: [", "app.conf": FILE}
    assert lint(from_objects([config_map(**other)])) == ()
    assert from_text("groups: [{name: admins}]", "users.yaml") == ()


def test_an_interval_is_the_shortest_of_all_that_is_scraped():
    (prometheus,) = from_text(PROMETHEUS, "prometheus.yml")
    assert prometheus.kind == PROMETHEUS_KIND
    assert shortest_interval(neighbours([prometheus])) == 15
    assert shortest_interval(neighbours([])) is None
    held = from_objects([config_map(**{"prometheus.yml": PROMETHEUS})])
    assert shortest_interval(neighbours(held)) == 15


@pytest.mark.parametrize(("interval", "expected"), [("1m", 60), ("10s", 10), (None, 30)])
def test_a_monitor_without_an_interval_has_that_of_the_operator(interval, expected):
    endpoint = {"port": "metrics"} | ({"interval": interval} if interval else {})
    monitor = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": {"name": "edge"}}
    documents = from_objects([monitor | {"spec": {"podMetricsEndpoints": [endpoint]}}])
    assert shortest_interval(neighbours(documents)) == expected


def test_an_alert_that_waits_less_than_a_scrape_is_told_beside_the_prometheus_that_scrapes():
    files = (*from_text(FILE, "rules.yml"), *from_text(PROMETHEUS, "prometheus.yml"))
    assert [each.code for each in lint(files)] == ["L467", "L466"]


def test_a_series_that_a_rule_records_may_have_any_name():
    rules = yaml.safe_load(FILE)
    rules["groups"][0]["rules"] = [
        {"record": "volcano_queue_full", "expr": "volcano_queue_overused > 0"},
        {"record": "queue:full:max", "expr": "max(volcano_queue_full)"},
    ]
    assert lint(from_text(yaml.safe_dump(rules), "rules.yml")) == ()


def test_the_names_of_volcano_have_its_parts():
    assert "volcano_queue_deserved_scalar_resources" in VOLCANO
    assert "volcano_task_scheduling_latency_milliseconds_count" in VOLCANO
    assert "volcano_task_scheduling_latency_milliseconds" not in VOLCANO
