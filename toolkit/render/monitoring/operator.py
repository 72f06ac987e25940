"""Monitoring as objects: PrometheusRule, PodMonitor, ServiceMonitor for the Prometheus operator, and DCGM's exporter.

Between `rules`, `scrape`, `dcgm` and the templates monitoring/*; a part of `render.objects`. The operator takes up what
carries `monitoring.labels`. Alertmanager's file is no object of ours: it is the site's, holds everybody's receivers,
and the operator reads it from a Secret; `tiers render --monitoring DIR` writes our routes for it (see `notify`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from toolkit.placement import fitted_name
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.monitoring.dcgm import exporters
from toolkit.render.monitoring.model import Group
from toolkit.render.monitoring.rules import groups
from toolkit.render.monitoring.scrape import GPU_NOUN, Relabel, ScrapeJob, scrape_jobs
from toolkit.render.monitoring.times import scrape_timeout
from toolkit.render.rendered import RenderedObject
from toolkit.render.template import fill
from toolkit.topology.monitoring import Monitoring
from toolkit.topology.secret import SecretReference
from toolkit.topology.topology import Topology

_TEMPLATES: Final = {"pods": "monitoring/podmonitor.yaml.j2", "service": "monitoring/servicemonitor.yaml.j2"}


@dataclass(frozen=True)
class RulesView:
    """What monitoring/prometheusrule.yaml.j2 names."""

    groups: list[dict[str, object]]


@dataclass(frozen=True)
class MonitorView:
    """What monitoring/podmonitor.yaml.j2 and monitoring/servicemonitor.yaml.j2 name."""

    namespace: str
    """Where the pods are; empty when it is the monitor's own."""
    selector: Mapping[str, str]
    endpoint: dict[str, object]


def monitoring_objects(topology: Topology, lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give what one cluster needs to be watched; nothing without the key `monitoring`.

    Raises:
        RenderError: a template does not fit.
    """
    monitoring = topology.monitoring
    if monitoring is None:
        return
    if monitoring.asks_pods:
        yield from exporters(topology, lock, cluster)
    if monitoring.kind == "operator":
        yield from _monitors(topology, monitoring, cluster)
        yield _rules(topology, monitoring, cluster)


def rule_group(group: Group, interval: str) -> dict[str, object]:
    """Write a group as Prometheus and its operator both take it; evaluated as often as its sources are asked."""
    rules: list[dict[str, object]] = []
    for rule in group.rules:
        written: dict[str, object] = {"record": rule.record} if rule.record else {"alert": rule.alert}
        written["expr"] = rule.expr
        if rule.hold:
            written["for"] = rule.hold
        if rule.labels:
            written["labels"] = dict(rule.labels)
        if rule.annotations:
            written["annotations"] = dict(rule.annotations)
        rules.append(written)
    return {"name": group.name, "interval": interval, "rules": rules}


def _rules(topology: Topology, monitoring: Monitoring, cluster: str) -> RenderedObject:
    interval = str(monitoring.interval)
    view = RulesView([rule_group(each, interval) for each in groups(topology, monitoring, [cluster])])
    metadata = _metadata(topology, monitoring, cluster, fitted_name(topology.name, "rules"), "alerts")
    body = fill("monitoring/prometheusrule.yaml.j2", metadata, rules=view)
    return RenderedObject(cluster, "alerts", body)


def _monitors(topology: Topology, monitoring: Monitoring, cluster: str) -> Iterator[RenderedObject]:
    for job in scrape_jobs(topology, monitoring, cluster):
        of = job.source.removesuffix(".agent").rpartition(".")[2]
        metadata = _metadata(topology, monitoring, cluster, job.name, of)
        if job.beside:
            metadata = replace(metadata, namespace=job.namespace)
        elsewhere = job.namespace if job.namespace != metadata.namespace else ""
        view = MonitorView(elsewhere, job.selector, _endpoint(job, monitoring))
        yield RenderedObject(cluster, job.source, fill(_TEMPLATES[job.kind], metadata, monitor=view))


def _metadata(topology: Topology, monitoring: Monitoring, cluster: str, name: str, of: str) -> Metadata:
    labels = {**monitoring.labels, **owner_labels(topology.name, GPU_NOUN, of)}
    return Metadata(name, labels, monitoring.namespace or topology.namespace(cluster))


def _endpoint(job: ScrapeJob, monitoring: Monitoring) -> dict[str, object]:
    endpoint: dict[str, object] = {
        "path": "/metrics",
        "interval": str(monitoring.interval),
        "scrapeTimeout": scrape_timeout(monitoring.interval),
        "relabelings": [_relabeling(each) for each in job.relabels],
    }
    if job.port:
        endpoint["port"] = job.port
    if job.metric_relabels:
        endpoint["metricRelabelings"] = [_relabeling(each) for each in job.metric_relabels]
    if job.honor_labels:
        endpoint["honorLabels"] = True
    access = job.access
    endpoint["scheme"] = access.scheme
    tls: dict[str, object] = {}
    if access.ca is not None:
        tls["ca"] = {"secret": _selector(access.ca, "ca.crt")}
    if access.server_name:
        tls["serverName"] = access.server_name
    if tls:
        endpoint["tlsConfig"] = tls
    if access.token is not None:
        endpoint["authorization"] = {"credentials": _selector(access.token, "token")}
    return endpoint


def _selector(reference: SecretReference, key: str) -> dict[str, str]:
    return {"name": reference.name or "", "key": reference.key or key}


def _relabeling(each: Relabel) -> dict[str, object]:
    """Write one step with its default action: the server would write it in, into a list that is ours as a whole."""
    written: dict[str, object] = {"action": "replace", "targetLabel": each.target}
    if not each.sources:
        return written | {"replacement": each.replacement}
    written["sourceLabels"] = list(each.sources)
    if each.regex != "(.*)":
        written["regex"] = each.regex
    if each.replacement != "$1":
        written["replacement"] = each.replacement
    return written
