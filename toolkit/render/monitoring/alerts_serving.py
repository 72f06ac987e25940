"""Alerts about answering: too slow, too many waiting, models that do not load, machines that are silent.

A part of the catalogue that `rules` completes. The daemon refuses what does not fit into a model's queue, so what waits
can reach the limit but never pass it where both are the same: hence `>=`.
"""

# ruff: noqa: E501  # sentences for people

from __future__ import annotations

from typing import Final

from toolkit.render.monitoring import limits
from toolkit.render.monitoring.model import Alert, Subject

SERVING_ALERTS: Final = (
    Alert(
        name="TiersLatencyHigh",
        severity="warning",
        subject=Subject.DAEMONS,
        expr="tiers_model:latency_seconds:p99_5m{$ours} > $limit and tiers_model:requests:rate_5m{$ours} > 0.1",
        hold="$after",
        summary="{{ $labels.model }} answers slowly on {{ $labels.tiers_pool }}",
        description="1 of 100 requests takes longer than {{ $value | humanizeDuration }}.",
        means="One of a hundred answers of a model takes longer than alerts.p99, over the last five minutes.",
        why="Somebody at the machine waits for it. Usual causes: more clients than before, a GPU that heat slows down, a new version that is slower.",
        next=("tiers fleet status", "tiers rollout status MODEL", "tiers rollout rollback MODEL"),
        limit=limits.p99,
        key="alerts.p99",
    ),
    Alert(
        name="TiersQueueBacklog",
        severity="warning",
        subject=Subject.DAEMONS,
        expr="tiers_node:queue_depth:max{$ours} >= $limit",
        hold="$after",
        summary="{{ $value }} requests wait for {{ $labels.model }} on {{ $labels.node }}",
        description="As many requests wait as may; when the model's queue is full, new ones are refused with 429.",
        means="alerts.queue requests or more wait for one model on one machine.",
        why="The engine cannot keep up. A full queue refuses new requests at once (outcome shed), so clients see 429 instead of waiting.",
        next=("tiers fleet status", "kubectl -n NAMESPACE get pods -l tiers.dev/part-of=service", "tiers rollout status MODEL"),
        limit=limits.queue,
        key="alerts.queue",
    ),
    Alert(
        name="TiersQueueWillOverflow",
        severity="warning",
        subject=Subject.DAEMONS,
        expr=(
            "predict_linear(tiers_node:queue_depth:max{$ours}[15m], 1800) >= $limit"
            " and deriv(tiers_node:queue_depth:max{$ours}[15m]) > 0"
            " and tiers_node:queue_depth:max{$ours} >= $limit * 0.2"
        ),
        hold="2m",
        summary="{{ $labels.model }} on {{ $labels.node }} will have a full queue within half an hour",
        description="The queue grows; at this pace {{ $value | humanize }} requests will wait in 30 minutes.",
        means="The line through the last 15 minutes of the queue's length reaches alerts.queue within 30 minutes, and a fifth of it is reached already.",
        why="There is still time: after that, requests are refused.",
        next=("tiers fleet status", "kubectl -n NAMESPACE get hpa,scaledobject"),
        limit=limits.queue,
        key="alerts.queue",
    ),
    Alert(
        name="TiersModelLoadFailures",
        severity="warning",
        subject=Subject.DAEMONS,
        expr=(
            'sum by ($place, model) (increase(edge_model_loads_total{$ours, result="failed"}[15m]))'
            " / sum by ($place, model) (increase(edge_model_loads_total{$ours}[15m])) > $limit"
        ),
        hold="0s",
        summary="{{ $labels.model }} does not load on a part of {{ $labels.tiers_pool }}",
        description="{{ $value | humanizePercentage }} of the attempts to load it failed within 15 minutes.",
        means="More than alerts.load_failures of the attempts to open a model failed, in the check before the switch or when it is to serve.",
        why="The version before goes on where there is one. A wrong model fails everywhere at once; a full memory or a damaged disk on single machines.",
        next=("tiers rollout status MODEL", "tiers rollout pause MODEL", "tiers fleet status"),
        limit=limits.load_failures,
        key="alerts.load_failures",
    ),
    Alert(
        name="TiersNodeOffline",
        severity="critical",
        subject=Subject.DEVICES,
        expr='up{$ours, job="tiers-edge"} == 0',
        hold="$limit",
        summary="{{ $labels.node }} does not answer",
        description="Prometheus could not reach the daemon on {{ $labels.node }} ({{ $labels.tiers_pool }}) for $limit.",
        means="The daemon of a device has not answered Prometheus for alerts.node_offline.",
        why="The device is off, its line is down, or the daemon does not run. A device that only lost its line goes on serving those beside it.",
        next=("tiers fleet status", "kubectl get node NODE", "ssh NODE tiers-edge status"),
        limit=limits.node_offline,
        key="alerts.node_offline",
    ),
    Alert(
        name="TiersServerUnreachable",
        severity="warning",
        subject=Subject.SERVICES,
        expr='up{$ours, job="tiers-service"} == 0',
        hold="$limit",
        summary="A server of {{ $labels.tiers_service }} does not answer",
        description="Prometheus could not reach {{ $labels.instance }} for $limit.",
        means="A pod of a service has not answered Prometheus for alerts.node_offline.",
        why="It may not answer clients either; its figures do not count for the autoscaler.",
        next=("kubectl -n NAMESPACE get pods -l tiers.dev/part-of=service", "kubectl -n NAMESPACE logs POD"),
        limit=limits.node_offline,
        key="alerts.node_offline",
    ),
    Alert(
        name="TiersNodeNotReady",
        severity="critical",
        subject=Subject.NODES,
        expr='kube_node_status_condition{condition="Ready", status="true"} == 0',
        hold="$limit",
        summary="Kubernetes has not heard of {{ $labels.node }}",
        description="The node is not Ready for $limit.",
        means="A machine is not Ready for Kubernetes for alerts.node_offline; devices too, through KubeEdge.",
        why="New pods do not start there. Pods on a device go on; those of a server are moved elsewhere.",
        next=("kubectl describe node NODE", "tiers doctor", "tiers fleet status"),
        limit=limits.node_offline,
        key="alerts.node_offline",
    ),
    Alert(
        name="TiersKubernetesUnwatched",
        severity="warning",
        subject=Subject.NODES,
        expr="absent(kube_node_status_condition)",
        hold="15m",
        summary="Nobody watches Kubernetes",
        description="Prometheus has no figures of kube-state-metrics, so no alert about machines or CronJobs can come.",
        means="Prometheus has no figures of kube-state-metrics.",
        why="Silence is not health: alerts about machines that are not Ready are blind. The operator's chart brings it.",
        next=("kubectl get deployments -A -l app.kubernetes.io/name=kube-state-metrics", "kubectl get servicemonitors -A"),
    ),
    Alert(
        name="TiersFleetUnwatched",
        severity="critical",
        subject=Subject.DEVICES,
        expr='absent(up{$ours, job="tiers-edge"})',
        hold="5m",
        summary="No device is watched",
        description="Prometheus asks no device for its figures, so none of the other alerts about devices can come.",
        means="Prometheus has no target with the job tiers-edge at all.",
        why="Silence is not health: every other alert about devices is blind until this one ends.",
        next=("tiers render --monitoring DIR", "promtool check config DIR/prometheus.yml"),
    ),
)  # fmt: skip
