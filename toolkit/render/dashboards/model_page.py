"""The dashboard "model": one model everywhere: how often it is asked, how fast it answers, where the time goes."""

from __future__ import annotations

from typing import Final

from toolkit.render.dashboards.description import Choice, Dashboard, Limit, Panel, Query, Row

_HERE = '{$ours, model=~"$model", tiers_pool=~"$pool"}'
_RANGE = f"{_HERE}[$__rate_interval]"


def _half(histogram: str) -> Query:
    return Query(
        f"histogram_quantile(0.5, sum by (le, model) (rate({histogram}_bucket{_RANGE})))", "{{model}} p50"
    )


MODEL: Final = Dashboard(
    name="model",
    title="Model",
    explains="A model on all machines that serve it.",
    choices=(Choice("model", "model", "edge_model_ready"), Choice("pool", "tiers_pool", "edge_model_ready")),
    rows=(
        Row(
            "Answers",
            (
                Panel(
                    "Requests by outcome",
                    (
                        Query(
                            f"sum by (model, outcome) (rate(edge_inference_requests_total{_RANGE}))",
                            "{{model}} {{outcome}}",
                        ),
                    ),
                    unit="reqps",
                    stacked=True,
                    explains="shed: the queue was full; not_ready: no version works; invalid: the client's fault.",
                ),
                Panel(
                    "Time to answer",
                    tuple(
                        Query(
                            f"max by (model, tiers_pool) (tiers_model:latency_seconds:{share}_5m{_HERE})",
                            f"{{{{model}}}} {{{{tiers_pool}}}} {share}",
                        )
                        for share in ("p50", "p95", "p99")
                    ),
                    unit="s",
                    limits=(Limit(0.5),),
                ),
                Panel(
                    "Requests by version",
                    (
                        Query(
                            f"sum by (model, version) (rate(edge_inference_requests_total{_RANGE}))",
                            "{{model}}@{{version}}",
                        ),
                    ),
                    unit="reqps",
                    stacked=True,
                    explains="During a rollout the new version takes over wave by wave.",
                ),
                Panel(
                    "Requests without an answer",
                    (
                        Query(
                            f"max by (model, tiers_pool) (tiers_model:errors:ratio_rate_5m{_HERE})",
                            "{{model}} {{tiers_pool}}",
                        ),
                    ),
                    unit="percentunit",
                    limits=(Limit(0.01),),
                ),
            ),
        ),
        Row(
            "Where the time goes",
            (
                Panel("Waiting for the engine", (_half("edge_inference_queue_seconds"),), unit="s", width=8),
                Panel(
                    "In the engine",
                    (_half("edge_inference_compute_seconds"),),
                    unit="s",
                    width=8,
                    explains="One call; rises with the batch.",
                ),
                Panel(
                    "Rows of a batch",
                    (
                        Query(
                            f"sum by (model) (rate(edge_inference_batch_size_sum{_RANGE}))"
                            f" / sum by (model) (rate(edge_inference_batch_size_count{_RANGE}))",
                            "{{model}}",
                        ),
                    ),
                    width=8,
                    explains="Average. At serving.max_batch the engine is full.",
                ),
                Panel(
                    "Waiting now",
                    (
                        Query(
                            f"sum by (model, tiers_pool) (edge_inference_pending_requests{_HERE})",
                            "{{model}} {{tiers_pool}}",
                        ),
                    ),
                ),
                Panel(
                    "Machines that serve it",
                    (
                        Query(
                            f"sum by (model, tiers_pool) (edge_model_ready{_HERE})",
                            "{{model}} {{tiers_pool}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
