"""Recording rules: the figures that alerts, autoscaling and dashboards share, the same for a Jetson and an A100.

The catalogue that `rules` completes. Names are level:what:operation as the kubernetes-mixin has them; what stands
before the first colon says which labels there are: tiers_model (place and model), tiers_node (place, node and model),
node_gpu (place, node and gpu). The one histogram loses `node` here, so that a fleet of thousands costs one set of
buckets a pool.
"""

from __future__ import annotations

from typing import Final

from toolkit.render.monitoring.model import Recording, Subject

_BUCKETS = "sum by (le, $place, model) (rate(edge_inference_latency_seconds_bucket{$ours}[5m]))"
_UNANSWERED = 'outcome=~"failed|shed|timeout|not_ready"'


def _quantile(share: str) -> str:
    return f"histogram_quantile({share}, {_BUCKETS})"


def _gpu(expr: str) -> str:
    return f"max by ($place, node, gpu) ({expr})"


_FB_TOTAL = (
    "(DCGM_FI_DEV_FB_USED{$ours} + DCGM_FI_DEV_FB_FREE{$ours}"
    " + (DCGM_FI_DEV_FB_RESERVED{$ours} or DCGM_FI_DEV_FB_USED{$ours} * 0))"
)

RECORDINGS: Final = (
    Recording(
        "tiers_model:requests:rate_5m",
        "sum by ($place, model) (rate(edge_inference_requests_total{$ours}[5m]))",
        "Requests a second, whatever became of them.",
        Subject.DAEMONS,
    ),
    Recording(
        "tiers_model:errors:ratio_rate_5m",
        f"(sum by ($place, model) (rate(edge_inference_requests_total{{$ours, {_UNANSWERED}}}[5m]))"
        " or tiers_model:requests:rate_5m{$ours} * 0)"
        " / (tiers_model:requests:rate_5m{$ours} > 0)",
        "Share of requests without an answer through no fault of the client: failed, shed, timeout, not_ready.",
        Subject.DAEMONS,
    ),
    Recording(
        "tiers_model:latency_seconds:p50_5m",
        _quantile("0.5"),
        "Half of the answers take less.",
        Subject.DAEMONS,
    ),
    Recording(
        "tiers_model:latency_seconds:p95_5m",
        _quantile("0.95"),
        "95 of 100 answers take less.",
        Subject.DAEMONS,
    ),
    Recording(
        "tiers_model:latency_seconds:p99_5m",
        _quantile("0.99"),
        "99 of 100 answers take less.",
        Subject.DAEMONS,
    ),
    Recording(
        "tiers_node:queue_depth:max",
        "max by ($place, node, model) (edge_inference_pending_requests{$ours})",
        "Requests that wait for a model on one machine.",
        Subject.DAEMONS,
    ),
    Recording(
        "tiers_pool:nodes:count",
        'count by ($place) (up{$ours, job="tiers-edge"})',
        "Devices that Prometheus asks.",
        Subject.DEVICES,
    ),
    Recording(
        "tiers_pool:nodes_up:count",
        'sum by ($place) (up{$ours, job="tiers-edge"})',
        "Devices that answered Prometheus.",
        Subject.DEVICES,
    ),
    Recording(
        "node_gpu:memory_used:ratio",
        f"{_gpu('DCGM_FI_DEV_FB_USED{$ours} / ' + _FB_TOTAL)}"
        f" or {_gpu('edge_gpu_memory_used_bytes{$ours} / edge_gpu_memory_total_bytes{$ours}')}",
        "Used memory of a GPU, 0 to 1; a Jetson's is the machine's, which it shares.",
        Subject.ANY_GPU,
    ),
    Recording(
        "node_gpu:utilization:ratio",
        f"{_gpu('DCGM_FI_DEV_GPU_UTIL{$ours} / 100')} or {_gpu('edge_gpu_utilization_ratio{$ours}')}",
        "Share of time that a GPU worked, 0 to 1.",
        Subject.ANY_GPU,
    ),
    Recording(
        "node_gpu:temperature:celsius",
        f"{_gpu('DCGM_FI_DEV_GPU_TEMP{$ours}')} or {_gpu('edge_gpu_temperature_celsius{$ours}')}",
        "Temperature of a GPU.",
        Subject.ANY_GPU,
    ),
)
