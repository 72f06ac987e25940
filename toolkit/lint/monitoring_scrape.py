"""How often, from where and under which labels Prometheus scrapes, against what the rules expect. One rule a function.

Sources: prometheus.io/docs (a rate needs two samples in its range; four leave room for a lost one);
prometheus-operator 0.93, ServiceMonitor (port is the name of a Service's port; scrapeTimeout ≤ interval);
dcgm-exporter 4.5 (pod, namespace, container of a GPU's user become exported_* without honorLabels). `check` runs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolkit.errors import Severity
from toolkit.lint.document import Document, ValuePath, mapping, sequence, text
from toolkit.lint.monitoring_document import ENDPOINTS, alerts, rules, shortest_interval
from toolkit.lint.neighbours import Neighbours, metadata, namespace_of, once_a_run, selects
from toolkit.lint.promql import duration
from toolkit.lint.rule import Finding, rule, rule_around
from toolkit.lint.surroundings import Surroundings

_COUNTS = frozenset({"rate", "irate", "increase"})
_SAMPLES, _ENOUGH = 2, 4
_USERS = ("pod", "namespace", "container")


@rule_around(
    "L467",
    Severity.WARNING,
    why="between two scrapes nothing changes: one bad sample is enough, and `for` only delays the alert",
    cure="wait for several scrapes, or leave `for` out where one sample is enough",
)
def waits_for_samples(document: Document, around: Surroundings) -> Iterator[Finding]:
    """An alert waits at least as long as it takes to scrape again."""
    shortest = shortest_interval(around.neighbours)
    for part in alerts(document):
        waits = duration(str(part.body.get("for", "")))
        if shortest and waits and waits < shortest:
            message = f"waits {part.body['for']}, and nothing is scraped more often than every {shortest:g} s"
            yield part.finding(("for",), message)


@rule_around(
    "L469",
    Severity.WARNING,
    why="a rate needs two samples in its range: with one scrape lost there is no result, and the alert falls silent",
    cure="make the range at least four intervals of scraping",
)
def range_of_samples(document: Document, around: Surroundings) -> Iterator[Finding]:
    """The range of rate() and increase() holds at least four scrapes."""
    shortest = shortest_interval(around.neighbours)
    for part in rules(document):
        for each in part.expression.selectors:
            if shortest and each.seconds and _COUNTS & set(each.calls[-1:]) and ":" not in each.metric:
                few = each.seconds < _SAMPLES * shortest
                if each.seconds < _ENOUGH * shortest:
                    held = "not even two" if few else f"{each.seconds / shortest:.1f}"
                    message = f"[{each.window}] holds {held} scrapes, which come every {shortest:g} s"
                    yield part.finding(("expr",), message)


@rule_around(
    "L472",
    Severity.WARNING,
    why="pod and namespace are then the exporter's own, and exported_pod is the one that uses the GPU, or the reverse",
    cure="write exported_pod with honorLabels: false (the default), pod with honorLabels: true",
)
def whose_pod(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A rule over GPUs means the pod that uses one, under the name that the monitor of dcgm-exporter leaves it."""
    honours = _honours(around.neighbours)
    if len(honours) != 1:
        return
    (honoured,) = honours
    for part in rules(document):
        if not any(each.metric.startswith("DCGM_") for each in part.expression.selectors):
            continue
        for label in _USERS:
            wrong = f"exported_{label}" if honoured else label
            if part.expression.names(wrong):
                yield part.finding(("expr",), f"goes by {wrong}, and honorLabels is {str(honoured).lower()}")


@rule_around(
    "L478",
    Severity.ERROR,
    why="the monitor finds no target, and every alert on its metrics is silent",
    cure="write the name of the Service's port (spec.ports[].name)",
)
def port_of_the_service(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A ServiceMonitor names a port that the Services it selects have."""
    if document.kind != "ServiceMonitor":
        return
    namespaces = sequence(mapping(document.spec.get("namespaceSelector")).get("matchNames"))
    where = {text(each) for each in namespaces} or {namespace_of(document)}
    selector = document.spec.get("selector")
    chosen = [
        each
        for namespace in sorted(where)
        for each in around.neighbours.of("Service", namespace)
        if selects(selector, mapping(metadata(each).get("labels")))
    ]
    there = {text(mapping(port).get("name")) for each in chosen for port in sequence(each.spec.get("ports"))}
    for index, endpoint in enumerate(map(mapping, sequence(document.spec.get("endpoints")))):
        port = endpoint.get("port")
        if chosen and port is not None and text(port) not in there:
            path: ValuePath = ("spec", "endpoints", index, "port")
            yield Finding(path, f"no port of {chosen[0].title} is called {port!r}")


@rule(
    "L479",
    Severity.ERROR,
    why="Prometheus refuses its whole configuration, and the operator leaves the monitor out",
    cure="make scrapeTimeout at most the interval",
)
def time_to_scrape(document: Document) -> Iterator[Finding]:
    """A scrape ends before the next one begins."""
    key = ENDPOINTS.get(document.kind)
    for index, endpoint in enumerate(map(mapping, sequence(document.spec.get(key)) if key else ())):
        waits, every = duration(text(endpoint.get("scrapeTimeout"))), duration(text(endpoint.get("interval")))
        if waits and every and waits > every:
            path = ("spec", str(key), index, "scrapeTimeout")
            yield Finding(path, f"scrapeTimeout {endpoint['scrapeTimeout']} is above {endpoint['interval']}")


@once_a_run
def _honours(around: Neighbours) -> frozenset[bool]:
    """Say whether monitors of dcgm-exporter honour its labels: one answer, or two where they differ, or none."""
    return frozenset(
        mapping(endpoint).get("honorLabels") is True
        for kind, key in ENDPOINTS.items()
        for each in around.of(kind)
        if _of_dcgm(each)
        for endpoint in sequence(each.spec.get(key))
        if not _renames(mapping(endpoint))
    )


def _of_dcgm(monitor: Document) -> bool:
    selector = mapping(mapping(monitor.spec.get("selector")).get("matchLabels"))
    return "dcgm" in monitor.name or any("dcgm" in text(value) for value in selector.values())


def _renames(endpoint: Mapping[str, object]) -> bool:
    """Whether an endpoint gives these labels by rules of its own."""
    own = (*sequence(endpoint.get("relabelings")), *sequence(endpoint.get("metricRelabelings")))
    return any(text(mapping(each).get("targetLabel")).removeprefix("exported_") in _USERS for each in own)


RULES = (waits_for_samples, range_of_samples, whose_pod, port_of_the_service, time_to_scrape)
"""What is wrong between scraping and rules, in order of code."""
