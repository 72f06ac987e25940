"""The scale rule: what a service's servers did → shall there be more of them, fewer, or as many as there are.

One group of recording rules a topology, added by `rules` to those of monitoring; `autoscaling` lets KEDA or an HPA read
its last record, `docs/guides/scale.md` says how to ask it why. For each service, and each from the thresholds of
`services.NAME.scale`:

    inputs      gpu_use, queue_depth, latency, errors      what is measured
    settled     no server starts or has just begun         a loading server looks idle and is not
    scale_out   any input above its `out`                  0 or 1
    scale_in    settled, no scale_out, gpu_use and queue_depth below their `in`
    pressure    1.5, 1 or 0.5                              times the ready servers is what the HPA wants

The autoscaler repeats a step as long as the pressure lasts; it multiplies what is *ready*, so servers that load hold it
back. An input that is missing never asks for more servers, and nothing is taken away on it: what is unknown is not low.
TiersScaleInputMissing tells somebody. Without requests there is no latency and no error: that is 0, and not missing.

Under MIG, DCGM has no GPU_UTIL for an instance; GR_ENGINE_ACTIVE, the same as a ratio, stands in for it, series by
series.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from toolkit.placement import place_service
from toolkit.render.metadata import NAME_LABEL
from toolkit.render.monitoring.labels import CLUSTER, POOL, SERVICE, SERVICE_JOB, TIER, TOPOLOGY
from toolkit.render.monitoring.model import Group, Rule
from toolkit.topology.service import Scale
from toolkit.topology.topology import Topology
from toolkit.topology.units import Duration

GPU_USE: Final = "tiers_service:gpu_use:ratio"
QUEUE_DEPTH: Final = "tiers_service:queue_depth:max"
LATENCY: Final = "tiers_service:latency_seconds:p95_5m"
ERRORS: Final = "tiers_service:errors:ratio_rate_5m"
SETTLED: Final = "tiers_service:settled:bool"
SCALE_OUT: Final = "tiers_service:scale_out:bool"
SCALE_IN: Final = "tiers_service:scale_in:bool"
PRESSURE: Final = "tiers_service:scale_pressure"
NEEDED: Final = "tiers_service:servers_needed"
FORECAST: Final = "tiers_service:servers_needed:last_week"

MISSING_ALERT: Final = "TiersScaleInputMissing"
_HOLD: Final = "10m"
"""How long an input may be missing: longer than the roll-out of a new Prometheus."""
WEEK: Final = Duration.parse("1w")
MARGIN: Final = 1.2
"""Servers more than last week, as a factor."""
_SERVER: Final = "instance"
"""The label that tells servers apart: several of one service can share a machine."""
_UNANSWERED: Final = 'outcome=~"failed|shed|timeout|not_ready"'
"""Outcomes that are not the client's fault; as edge_runtime/serving/refusals.py names them."""


def matcher(topology: Topology, service: str) -> str:
    """Give the matcher of a service's series and records: `tiers_topology="…", tiers_service="…"`."""
    return f'{TOPOLOGY}="{topology.name}", {SERVICE}="{service}"'


def scale_groups(topology: Topology, clusters: frozenset[str]) -> Iterator[Group]:
    """Give the group of the scale rule for the services of some clusters; none when no service is scaled by figures."""
    rules = tuple(
        rule
        for name in sorted(topology.services)
        if place_service(topology, name).cluster in clusters
        for rule in _service(topology, name)
    )
    if rules:
        yield Group(f"{topology.name}.scale", rules)


def _service(topology: Topology, name: str) -> Iterator[Rule]:
    scale = topology.services[name].scale
    if scale is None or not scale.measures:
        return
    placement, ours = place_service(topology, name), matcher(topology, name)
    values = (topology.name, placement.cluster, placement.tier, placement.pool, name)
    labels = tuple(zip((TOPOLOGY, CLUSTER, TIER, POOL, SERVICE), values, strict=True))
    for record, expr in (*_inputs(scale, ours), *_decisions(scale, ours), *_prediction(scale, ours)):
        yield Rule(expr=expr, record=record, labels=labels)
    look = f"kubectl -n {placement.namespace} get pods -l {NAME_LABEL}={name}"
    for key, what, expr in _missing(scale, ours):
        yield _alert((("input", key), *labels), f"The service {name} is scaled without {what}", expr, look)


def _inputs(scale: Scale, ours: str) -> Iterator[tuple[str, str]]:
    if scale.gpu:
        use = f"DCGM_FI_DEV_GPU_UTIL{{{ours}}} / 100 <= 1 or DCGM_FI_PROF_GR_ENGINE_ACTIVE{{{ours}}} <= 1"
        yield GPU_USE, f"avg({use})"
    if scale.queue:
        yield QUEUE_DEPTH, f"max(sum by ({_SERVER}) (edge_inference_pending_requests{{{ours}}}))"
    if scale.p95:
        buckets = f"sum by (le) (rate(edge_inference_latency_seconds_bucket{{{ours}}}[5m]))"
        yield LATENCY, f"histogram_quantile(0.95, {buckets}) >= 0 or vector(0)"
    if scale.errors:
        failed = f"sum(rate(edge_inference_requests_total{{{ours}, {_UNANSWERED}}}[5m]))"
        every = f"sum(rate(edge_inference_requests_total{{{ours}}}[5m]))"
        yield ERRORS, f"{failed} / ({every} > 0) or vector(0)"


def _decisions(scale: Scale, ours: str) -> Iterator[tuple[str, str]]:
    # A model that some servers serve and others do not yet, or not for long, is being loaded. `and`: a server that has
    # gone leaves its last minutes behind, and they say nothing about those that are there.
    ready, up = f"edge_model_ready{{{ours}}}", f'up{{{ours}, job="{SERVICE_JOB}"}}'
    loading = f"max(max by (model) ({ready}) - min by (model) (min_over_time({ready}[5m]) and {ready}))"
    answering = f"min(min_over_time({up}[5m]) and {up})"
    yield SETTLED, f"(1 - {loading}) * {answering} or vector(0)"
    high = " + ".join(
        f"({_one(record, ours)} > bool {limit} or vector(0))" for record, limit in _limits_out(scale)
    )
    yield SCALE_OUT, f"clamp_max({high}, 1)" if high else "vector(0)"
    low = [f"({_one(record, ours)} < bool {limit})" for record, limit in _limits_in(scale)]
    idle = " * ".join([_one(SETTLED, ours), *low, f"(1 - {_one(SCALE_OUT, ours)})"])
    yield SCALE_IN, f"{idle} or vector(0)" if low else "vector(0)"
    yield PRESSURE, f"1 + 0.5 * {_one(SCALE_OUT, ours)} - 0.5 * {_one(SCALE_IN, ours)}"


def _prediction(scale: Scale, ours: str) -> Iterator[tuple[str, str]]:
    """Count the servers that the load needs, by the use of their GPUs; those there are would grow from week to week.

    The hour that is looked at ends `ahead` later than this one: its servers have loaded when it begins.
    """
    if scale.predict is None or scale.gpu is None:
        return
    servers = f'count(up{{{ours}, job="{SERVICE_JOB}"}} == 1)'
    use = f"max(avg_over_time({GPU_USE}{{{ours}}}[5m]))"
    yield NEEDED, f"{servers} * {use} / {scale.gpu.out.fraction:g}"
    back = Duration(WEEK.milliseconds - scale.ahead.milliseconds)
    then = f"max(max_over_time({NEEDED}{{{ours}}}[1h] offset {back}))"
    yield FORECAST, f"{then} * {MARGIN:g} or vector(0)"


def _missing(scale: Scale, ours: str) -> Iterator[tuple[str, str, str]]:
    """Give what may be missing, as a label and in words, and the expression that holds while it is."""
    yield "servers", "its servers' figures", f'absent(up{{{ours}, job="{SERVICE_JOB}"}} == 1)'
    if scale.gpu:
        yield "gpu", "the use of its GPUs", f"absent({GPU_USE}{{{ours}}})"


def _alert(labels: tuple[tuple[str, str], ...], summary: str, expr: str, look: str) -> Rule:
    known = f"Not seen for {_HOLD}. Until it is, no server is taken away, and none is added on its account."
    return Rule(
        expr=expr,
        alert=MISSING_ALERT,
        hold=_HOLD,
        labels=(("severity", "warning"), *labels),
        annotations=(
            ("summary", summary),
            ("description", known),
            ("next", look),
            ("runbook", "docs/guides/scale.md"),
        ),
    )


def _one(record: str, ours: str) -> str:
    """Give a record's value without labels, so that `or vector(0)` stands in for it when it is missing."""
    return f"max({record}{{{ours}}})"


def _limits_out(scale: Scale) -> Iterator[tuple[str, str]]:
    if scale.gpu:
        yield GPU_USE, f"{scale.gpu.out.fraction:g}"
    if scale.queue:
        yield QUEUE_DEPTH, f"{scale.queue.out}"
    if scale.p95:
        yield LATENCY, f"{scale.p95.out.seconds:g}"
    if scale.errors:
        yield ERRORS, f"{scale.errors.out.fraction:g}"


def _limits_in(scale: Scale) -> Iterator[tuple[str, str]]:
    if scale.gpu:
        back = scale.gpu.back.fraction if scale.gpu.back else scale.gpu.out.fraction / 2
        yield GPU_USE, f"{back:g}"
    if scale.queue and scale.queue.back is not None:
        yield QUEUE_DEPTH, f"{scale.queue.back}"
