"""How many servers a service has: a ScaledObject of KEDA, or a HorizontalPodAutoscaler, from `services.NAME.scale`.

Between the scale rule (`monitoring.scale`, which decides) with `peaks` (hours for cron) and the templates
autoscaling/{scaledobject,triggerauthentication,horizontalpodautoscaler}.yaml.j2. The Deployment then has no `replicas`
(`service`): what is applied would else take back what was scaled.

Both forms read one figure, the pressure: 1.5, 1 or 0.5 times the ready servers are wanted. Its metric type is Value, so
the controller multiplies; the behaviour bounds the steps. A floor (peaks, last week) is a trigger of its own with an
average of 1 a server, and the controller takes the most of all. GPUs are never asked for as a resource metric: nothing
serves one for `nvidia.com/gpu`, and a request for GPUs says what is allocated, not what is used.

An HPA has no calendar and needs a metrics adapter that serves METRICS; its `tolerance` stands halfway between hold and
act, so that the cluster's own setting does not decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from toolkit.placement import fitted_name, place_service
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.monitoring.scale import FORECAST, PRESSURE, matcher
from toolkit.render.peaks import hours_of
from toolkit.render.rendered import RenderedObject
from toolkit.render.template import fill
from toolkit.topology.service import Scale, Service
from toolkit.topology.topology import Topology

NOUN = "service"
TOKEN_KEY = "token"  # noqa: S105 -- the name of a key in a Secret
"""Key of the Secret when `monitoring.token` names none."""
METRICS = {PRESSURE: "tiers_service_scale_pressure", FORECAST: "tiers_service_servers_needed_last_week"}
"""Record -> its name in external.metrics.k8s.io, by the adapter's rules in docs/guides/scale.md."""
TOLERANCE = "0.25"
FAILURES = 3
"""Questions of 15 s that Prometheus may leave open before as many servers stay as there are."""

BEHAVIOR: Mapping[str, object] = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Percent", "value": 100, "periodSeconds": 15},
            {"type": "Pods", "value": 2, "periodSeconds": 15},
        ],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 300,
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
    },
}
"""At once and at most twice as many (or two more) in 15 s; fewer after 5 minutes, at most half of them in a minute."""


@dataclass(frozen=True)
class ScaledView:
    """What autoscaling/scaledobject.yaml.j2 and autoscaling/horizontalpodautoscaler.yaml.j2 name."""

    target: str
    """Name of the Deployment."""
    least: int
    most: int
    behavior: Mapping[str, object]
    triggers: list[dict[str, object]] = field(default_factory=list)
    """KEDA's; all their values are texts."""
    fallback: Mapping[str, object] = field(default_factory=dict)
    metrics: list[dict[str, object]] = field(default_factory=list)
    """The HPA's."""


@dataclass(frozen=True)
class TokenView:
    """What autoscaling/triggerauthentication.yaml.j2 names."""

    secret: str
    key: str


def autoscalers(topology: Topology, _lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give the autoscaler of each service of the cluster that has a `scale`, and what it logs in with.

    Raises:
        RenderError: a template does not fit.
    """
    for name, service in topology.services.items():
        placement = place_service(topology, name)
        if service.scale is None or placement.cluster != cluster:
            continue
        metadata = Metadata(name, owner_labels(topology.name, NOUN, name), placement.namespace)
        source = f"services.{name}.scale"
        if service.scale.by == "hpa":
            view = _hpa(topology, name, service, service.scale)
            body = fill("autoscaling/horizontalpodautoscaler.yaml.j2", metadata, scaled=view)
        else:
            view = _keda(topology, name, service, service.scale)
            body = fill("autoscaling/scaledobject.yaml.j2", metadata, scaled=view)
        yield RenderedObject(cluster, source, body)
    if _asks_with_token(topology, cluster):
        yield _login(topology, cluster)


def _keda(topology: Topology, name: str, service: Service, scale: Scale) -> ScaledView:
    least, ours = service.replicas.min, matcher(topology, name)
    login = {"authenticationRef": {"name": _login_name(topology)}} if _token(topology) else {}
    triggers: list[dict[str, object]] = []
    if scale.measures:
        triggers.append(_asked(topology, "pressure", "Value", f"max({PRESSURE}{{{ours}}})") | login)
    if scale.predict is not None:
        triggers.append(_asked(topology, "last-week", "AverageValue", f"max({FORECAST}{{{ours}}})") | login)
    for number, peak in enumerate(scale.peaks, start=1):
        hours = hours_of(peak, scale.ahead)
        if hours is None:
            least = max(least, peak.at_least)
            continue
        for part, window in enumerate(hours, start=1):
            times = {"timezone": scale.timezone, "start": window.start, "end": window.end}
            trigger = f"peak-{number}" if len(hours) == 1 else f"peak-{number}-{part}"
            floor = {**times, "desiredReplicas": str(peak.at_least)}
            triggers.append({"type": "cron", "name": trigger, "metadata": floor})
    fallback = {"failureThreshold": FAILURES, "replicas": least, "behavior": "currentReplicasIfHigher"}
    return ScaledView(
        target=name,
        least=least,
        most=service.replicas.max,
        behavior=BEHAVIOR,
        triggers=triggers,
        fallback=fallback if scale.measures else {},
    )


def _asked(topology: Topology, name: str, metric_type: str, query: str) -> dict[str, object]:
    """Give a trigger that asks Prometheus; no answer is a failure and never the number 0."""
    monitoring = topology.monitoring
    address = monitoring.url if monitoring is not None and monitoring.url is not None else ""
    metadata = {"serverAddress": address, "query": query, "threshold": "1", "ignoreNullValues": "false"}
    return {"type": "prometheus", "name": name, "metricType": metric_type, "metadata": metadata}


def _hpa(topology: Topology, name: str, service: Service, scale: Scale) -> ScaledView:
    targets = {PRESSURE: {"type": "Value", "value": "1"}}
    if scale.predict is not None:
        targets[FORECAST] = {"type": "AverageValue", "averageValue": "1"}
    labels = {"tiers_topology": topology.name, "tiers_service": name}
    metrics: list[dict[str, object]] = [
        {
            "type": "External",
            "external": {
                "metric": {"name": METRICS[record], "selector": {"matchLabels": labels}},
                "target": target,
            },
        }
        for record, target in targets.items()
    ]
    behavior = {
        direction: {"tolerance": TOLERANCE, **rules}
        for direction, rules in BEHAVIOR.items()
        if isinstance(rules, dict)
    }
    return ScaledView(name, service.replicas.min, service.replicas.max, behavior, metrics=metrics)


def _token(topology: Topology) -> TokenView | None:
    """Give where the token for Prometheus is kept, None when it asks for none."""
    token = topology.monitoring.token if topology.monitoring is not None else None
    if token is None or token.name is None:
        return None
    return TokenView(token.name, token.key or TOKEN_KEY)


def _asks_with_token(topology: Topology, cluster: str) -> bool:
    return _token(topology) is not None and any(
        service.scale is not None
        and service.scale.measures
        and service.scale.by == "keda"
        and place_service(topology, name).cluster == cluster
        for name, service in topology.services.items()
    )


def _login(topology: Topology, cluster: str) -> RenderedObject:
    metadata = Metadata(
        _login_name(topology),
        owner_labels(topology.name, "monitoring", "prometheus"),
        topology.namespace(cluster),
    )
    body = fill("autoscaling/triggerauthentication.yaml.j2", metadata, token=_token(topology))
    return RenderedObject(cluster, "monitoring.token", body)


def _login_name(topology: Topology) -> str:
    return fitted_name(topology.name, "prometheus")
