"""Prometheus' rules wherever they are: in a PrometheusRule, in a file of rules, in the texts of a ConfigMap.

Between `document` and the rules of `monitoring_rules` and `monitoring_metrics`. Intervals of scraping come from
ServiceMonitors, PodMonitors, Prometheus objects and prometheus.yml (`intervals`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from toolkit.errors import TiersError
from toolkit.lint.document import (
    PROMETHEUS_KIND,
    RULES_KIND,
    Document,
    ValuePath,
    from_text,
    mapping,
    sequence,
    text,
    written,
)
from toolkit.lint.neighbours import Neighbours, once_a_run
from toolkit.lint.promql import Expression, duration, read
from toolkit.lint.rule import Finding

_OPERATOR = "monitoring.coreos.com"
_TEXTS = (".yaml", ".yml", ".rules")
_OPERATORS_INTERVAL = 30.0
"""Seconds: spec.scrapeInterval of the Prometheus object when nobody says another."""
_PROMETHEUS_INTERVAL = 60.0
"""Seconds: global.scrape_interval of prometheus.yml when nobody says another."""
ENDPOINTS = {"ServiceMonitor": "endpoints", "PodMonitor": "podMetricsEndpoints"}


@dataclass(frozen=True)
class Part:
    """A group or a rule, with its place in the object, or in the text of a ConfigMap (`inside`)."""

    body: Mapping[str, object]
    path: ValuePath
    inside: ValuePath = ()

    def finding(self, below: ValuePath, message: str) -> Finding:
        """Make a finding about something in it; inside of a text the place is the text's key."""
        path = (*self.path, *below)
        return Finding(self.inside, f"{written(path)}: {message}") if self.inside else Finding(path, message)

    @property
    def name(self) -> str:
        """What the alert is called, or the series that is recorded."""
        return text(self.body.get("alert")) or text(self.body.get("record"))

    @property
    def expression(self) -> Expression:
        """What its expression reads."""
        return read(str(self.body.get("expr", "")))


def groups(document: Document) -> Iterator[Part]:
    """Give the groups of rules of an object or file."""
    if document.kind == "PrometheusRule" and document.group == _OPERATOR:
        yield from _groups(document.spec, ("spec",), ())
    elif document.kind == RULES_KIND:
        yield from _groups(document.body, (), ())
    elif document.kind == "ConfigMap":
        for key, content in mapping(document.body.get("data")).items():
            if key.endswith(_TEXTS) and isinstance(content, str) and "groups:" in content:
                for each in _parsed(content):
                    if each.kind == RULES_KIND:
                        yield from _groups(each.body, (), ("data", key))


def rules(document: Document) -> Iterator[Part]:
    """Give the rules of all groups."""
    for group in groups(document):
        for index, each in enumerate(sequence(group.body.get("rules"))):
            yield Part(mapping(each), (*group.path, "rules", index), group.inside)


def alerts(document: Document) -> Iterator[Part]:
    """Give the rules that are alerts."""
    return (each for each in rules(document) if "alert" in each.body)


@once_a_run
def recorded(around: Neighbours) -> frozenset[str]:
    """Name every series that a rule of the run records."""
    kinds = ("PrometheusRule", RULES_KIND, "ConfigMap")
    documents = (each for kind in kinds for each in around.of(kind))
    return frozenset(text(part.body.get("record")) for each in documents for part in rules(each))


@once_a_run
def shortest_interval(around: Neighbours) -> float | None:
    """Give the shortest interval (s) in which anything of the run is scraped; None where nobody says."""
    found = [*_monitored(around), *_configured(around)]
    return min(found) if found else None


def _monitored(around: Neighbours) -> Iterator[float]:
    own = [duration(text(each.spec.get("scrapeInterval"))) for each in around.of("Prometheus")]
    default = next((each for each in own if each), _OPERATORS_INTERVAL)
    for kind, key in ENDPOINTS.items():
        for each in around.of(kind):
            for endpoint in map(mapping, sequence(each.spec.get(key))):
                yield duration(text(endpoint.get("interval"))) or default


def _configured(around: Neighbours) -> Iterator[float]:
    bodies = [each.body for each in around.of(PROMETHEUS_KIND)]
    for each in around.of("ConfigMap"):
        for content in mapping(each.body.get("data")).values():
            if isinstance(content, str) and "scrape_configs:" in content:
                bodies += [found.body for found in _parsed(content) if found.kind == PROMETHEUS_KIND]
    for body in bodies:
        given = duration(text(mapping(body.get("global")).get("scrape_interval")))
        for job in map(mapping, sequence(body.get("scrape_configs"))):
            yield duration(text(job.get("scrape_interval"))) or given or _PROMETHEUS_INTERVAL


@lru_cache(maxsize=256)
def _parsed(content: str) -> tuple[Document, ...]:
    try:
        return from_text(content, "")
    except TiersError:
        return ()  # a text that is no YAML is another program's


def _groups(body: Mapping[str, object], above: ValuePath, inside: ValuePath) -> Iterator[Part]:
    for index, each in enumerate(sequence(body.get("groups"))):
        yield Part(mapping(each), (*above, "groups", index), inside)
