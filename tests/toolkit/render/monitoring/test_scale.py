"""The scale rule under the real Prometheus engine: `promtool test rules` with made-up servers.

Each case is a small fleet of series for ten minutes and what the rule says then. All cases run in one promtool.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass, replace

import pytest

from edge_runtime.serving.stats import SECONDS
from toolkit.render.monitoring.scale import (
    ERRORS,
    FORECAST,
    GPU_USE,
    LATENCY,
    MISSING_ALERT,
    PRESSURE,
    SCALE_IN,
    SCALE_OUT,
    SETTLED,
    scale_groups,
)
from toolkit.render.monitoring.scrape import scrape_jobs
from toolkit.render.monitoring.series import BY_NAME
from toolkit.topology.checks.services import LONGEST_MEASURED

MINUTES = 20
LONG = "s" * 50
"""The longest name that a service may have."""
SERVICE = "medical-ai"
LIMITS = {
    "gpu": {"out": "80%", "in": "30%"},
    "queue": {"out": 50, "in": 5},
    "p95": {"out": "5s"},
    "errors": {"out": "1%"},
}
HOLD = {SCALE_OUT: 0, SCALE_IN: 0, PRESSURE: 1}
OUT = {SCALE_OUT: 1, SCALE_IN: 0, PRESSURE: 1.5}
IN = {SCALE_OUT: 0, SCALE_IN: 1, PRESSURE: 0.5}


@dataclass(frozen=True)
class Servers:
    """What a service's servers show; each list has one value (or series notation) a server."""

    gpu: tuple[object, ...] = (50, 50)
    """Percent; None: DCGM says nothing of it."""
    instances: tuple[object, ...] = ()
    """GR_ENGINE_ACTIVE of a MIG instance, 0 to 1."""
    queue: tuple[object, ...] = (20, 20)
    ready: tuple[object, ...] = (1, 1)
    up: tuple[object, ...] = (1, 1)
    slow: int = 0
    """Of 100 answers a minute, how many take six seconds; the others take less than half of one."""
    failed: int = 0
    """Of 1000 requests a minute."""
    outcome: str = "failed"
    asked: bool = True
    """Whether there are requests at all."""
    service: str = SERVICE

    def series(self) -> list[dict[str, str]]:
        place = f'tiers_topology="medical-imaging", tiers_service="{self.service}"'
        found: dict[str, str] = {}
        for number, value in enumerate(self.gpu):
            if value is not None:
                found[f'DCGM_FI_DEV_GPU_UTIL{{{place}, gpu="{number}"}}'] = _constant(value)
        for number, value in enumerate(self.instances):
            labels = f'{place}, gpu="0", GPU_I_ID="{number}", GPU_I_PROFILE="3g.40gb"'
            found[f"DCGM_FI_PROF_GR_ENGINE_ACTIVE{{{labels}}}"] = _constant(value)
        for number, (queue, ready, up) in enumerate(zip(self.queue, self.ready, self.up, strict=True)):
            server = f'{place}, job="tiers-service", instance="10.0.0.{number}:8080"'
            found[f"up{{{server}}}"] = _constant(up)
            if up == 0:
                continue
            found[f'edge_model_ready{{{server}, model="us-segmentation"}}'] = _constant(ready)
            found[f'edge_inference_pending_requests{{{server}, model="us-segmentation"}}'] = _constant(queue)
            if self.asked:
                found |= self._requests(f'{server}, model="us-segmentation"')
        return [{"series": name, "values": values} for name, values in found.items()]

    def _requests(self, labels: str) -> dict[str, str]:
        fast = 100 - self.slow
        bounds = {"0.5": fast, "5": fast, "10": 100, "+Inf": 100}
        buckets = {
            f'edge_inference_latency_seconds_bucket{{{labels}, le="{bound}"}}': f"0+{count}x{MINUTES}"
            for bound, count in bounds.items()
        }
        counts = {
            f'edge_inference_requests_total{{{labels}, outcome="ok"}}': f"0+{1000 - self.failed}x{MINUTES}",
            f'edge_inference_requests_total{{{labels}, outcome="{self.outcome}"}}': f"0+{self.failed}x{MINUTES}",
        }
        return buckets | counts


CALM = Servers()
IDLE = Servers(gpu=(29, 29), queue=(4, 4))
CASES = {
    "inside the band": (CALM, HOLD),
    # ------------------------------------------------------------ out: one threshold passed is enough
    "gpu above out": (replace(CALM, gpu=(82, 80)), OUT),
    "gpu at out": (replace(CALM, gpu=(80, 80)), HOLD),
    "the average of gpus counts": (replace(CALM, gpu=(100, 50)), HOLD),
    "queue above out": (replace(CALM, queue=(51, 0)), OUT),
    "queue at out": (replace(CALM, queue=(50, 50)), HOLD),
    "p95 above out": (replace(CALM, slow=6), OUT),
    "p95 below out": (replace(CALM, slow=4), HOLD),
    "errors above out": (replace(CALM, failed=11), OUT),
    "errors below out": (replace(CALM, failed=9), HOLD),
    "a full queue is an error": (replace(CALM, failed=11, outcome="shed"), OUT),
    "a client's mistake is none": (replace(CALM, failed=500, outcome="invalid"), HOLD),
    "all at once count once": (Servers(gpu=(99, 99), queue=(99, 99), slow=50, failed=500), OUT),
    # ------------------------------------------------------------ in: everything has to be low
    "everything low": (IDLE, IN),
    "low without a request": (replace(IDLE, asked=False), IN),
    "gpu at in": (replace(IDLE, gpu=(30, 30)), HOLD),
    "queue at in": (replace(IDLE, queue=(5, 0)), HOLD),
    "low but slow": (replace(IDLE, slow=6), OUT),
    "low but failing": (replace(IDLE, failed=11), OUT),
    # ------------------------------------------------------------ a server that loads is not idle
    "one loads its model": (replace(IDLE, ready=(1, 0)), HOLD),
    "one has loaded a moment ago": (replace(IDLE, ready=(1, "0x7 1x20")), HOLD),
    "one has loaded five minutes ago": (replace(IDLE, ready=(1, "0x3 1x20")), IN),
    "one does not answer yet": (replace(IDLE, up=(1, 0)), HOLD),
    "one has gone": (
        replace(IDLE, queue=(4, 4, 4), up=(1, 1, "1x6 0 stale"), ready=(1, 1, "1x5 0 stale")),
        IN,
    ),
    "a model that nobody has got yet": (replace(IDLE, ready=(0, 0)), IN),
    # ------------------------------------------------------------ what is missing is neither high nor low
    "no gpu figures, calm": (replace(CALM, gpu=()), HOLD),
    "no gpu figures, low": (replace(IDLE, gpu=()), HOLD),
    "no gpu figures, long queue": (replace(CALM, gpu=(), queue=(60, 60)), OUT),
    "one gpu without figures": (replace(IDLE, gpu=(29, None)), IN),
    "a value that DCGM does not support": (replace(IDLE, gpu=(29, "9.223372036854776e18")), IN),
    "no server is asked, gpu low": (replace(IDLE, queue=(), ready=(), up=()), HOLD),
    "no server is asked, gpu high": (replace(CALM, gpu=(99,), queue=(), ready=(), up=()), OUT),
    "nothing at all": (Servers(gpu=(), queue=(), ready=(), up=()), HOLD),
    # ------------------------------------------------------------ MIG: the ratio stands in, instance by instance
    "instances high": (replace(CALM, gpu=(), instances=(0.9, 0.8)), OUT),
    "instances low": (replace(IDLE, gpu=(), instances=(0.2, 0.2)), IN),
    "a whole gpu and an instance": (replace(CALM, gpu=(100,), instances=(0.5,)), HOLD),
}


def _constant(value: object) -> str:
    return value if isinstance(value, str) and " " in value else f"{value}x{MINUTES}"


def _rules(topology) -> str:
    """Write the groups as Prometheus reads them; JSON is YAML."""
    return json.dumps(
        {
            "groups": [
                {"name": group.name, "rules": [_rule(rule) for rule in group.rules]}
                for group in scale_groups(topology, frozenset(topology.clusters))
            ]
        }
    )


def _rule(rule):
    named = {"record": rule.record} if rule.record else {"alert": rule.alert, "for": rule.hold}
    annotations = {"annotations": dict(rule.annotations)} if rule.annotations else {}
    return {**named, "expr": rule.expr, "labels": dict(rule.labels), **annotations}


@pytest.fixture
def promtool(tmp_path, require):
    """Give `promtool(topology, tests)`: what `promtool test rules` says of them, "" when all hold."""
    require("prometheus")

    def run(topology, tests: list[dict[str, object]], every: str = "1m") -> str:
        (tmp_path / "rules.yml").write_text(_rules(topology))
        cases = {"rule_files": ["rules.yml"], "evaluation_interval": every, "tests": tests}
        (tmp_path / "tests.yml").write_text(json.dumps(cases))
        done = subprocess.run(
            ["promtool", "test", "rules", str(tmp_path / "tests.yml")],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return "" if done.returncode == 0 else done.stdout + done.stderr

    return run


def _case(name: str, servers: list[Servers], wanted: dict[str, dict[str, object]]) -> dict[str, object]:
    return {
        "name": name,
        "interval": "1m",
        "input_series": [series for each in servers for series in each.series()],
        "promql_expr_test": [
            {
                "expr": f'round(sum({record}{{tiers_service="{service}"}}), 0.001)',
                "eval_time": "10m",
                "exp_samples": [{"labels": "{}", "value": value}],
            }
            for service, records in wanted.items()
            for record, value in records.items()
        ],
    }


@pytest.fixture
def scaled(topology):
    """Give the hospital with every threshold of the cases, and a second service with others."""
    second = {"pool": "h100", "models": ["us-segmentation"], "replicas": {"min": 1, "max": 4}}
    second["scale"] = {"gpu": {"out": "60%"}}
    return topology({"services": {SERVICE: {"scale": LIMITS}, "second": second}})


def test_every_case(scaled, promtool):
    cases = [_case(name, [servers], {SERVICE: wanted}) for name, (servers, wanted) in CASES.items()]
    assert promtool(scaled, cases) == ""


def test_two_services_are_told_apart(scaled, promtool):
    other = Servers(gpu=(20,), queue=(0,), ready=(1,), up=(1,), service="second")
    cases = [
        _case("one out, one in", [replace(CALM, gpu=(90, 90)), other], {SERVICE: OUT, "second": IN}),
        _case("one in, one out", [IDLE, replace(other, gpu=(61,))], {SERVICE: IN, "second": OUT}),
        # without an `in` half of `out` is low
        _case("half of 60%", [CALM, replace(other, gpu=(30,))], {SERVICE: HOLD, "second": HOLD}),
        _case("less than half of 60%", [CALM, replace(other, gpu=(29,))], {SERVICE: HOLD, "second": IN}),
    ]
    assert promtool(scaled, cases) == ""


@pytest.mark.parametrize("left", sorted(LIMITS))
def test_each_threshold_alone_is_a_rule(topology, promtool, left):
    alone = {"gpu": None, "queue": None, "p95": None, "errors": None, "peaks": []}
    wanted = {"gpu": {**HOLD}, "queue": {**HOLD}, "p95": {**HOLD}, "errors": {**HOLD}}
    limits = {left: LIMITS[left]} | ({} if left in {"gpu", "queue"} else {"queue": {"out": 99, "in": 1}})
    changed = topology({"services": {SERVICE: {"scale": {**alone, **limits}}}})
    high = {
        "gpu": replace(CALM, gpu=(90, 90)),
        "queue": replace(CALM, queue=(60, 60)),
        "p95": replace(CALM, slow=9),
        "errors": replace(CALM, failed=20),
    }
    cases = [
        _case(name, [servers], {SERVICE: OUT if name == left else wanted[name]})
        for name, servers in high.items()
    ]
    assert promtool(changed, cases) == ""


def test_what_a_rule_reads_can_be_seen(scaled, promtool):
    seen = {GPU_USE: 0.5, LATENCY: 0.475, ERRORS: 0.005, SETTLED: 1}
    assert promtool(scaled, [_case("inputs", [replace(CALM, failed=5)], {SERVICE: seen})]) == ""


def test_a_missing_input_is_told(scaled, promtool):
    firing = f'ALERTS{{alertname="{MISSING_ALERT}", alertstate="firing", tiers_service="{SERVICE}"}}'

    def told(servers: Servers, minute: int) -> dict[str, object]:
        return {
            "interval": "1m",
            "input_series": servers.series(),
            "promql_expr_test": [
                {
                    "expr": f"count({firing})",
                    "eval_time": f"{minute}m",
                    "exp_samples": [],
                }
            ],
        }

    def with_count(case: dict[str, object], count: int) -> dict[str, object]:
        (test,) = case["promql_expr_test"]
        return {**case, "promql_expr_test": [{**test, "exp_samples": [{"labels": "{}", "value": count}]}]}

    blind = replace(CALM, gpu=())
    cases = [
        told(CALM, 15),
        told(blind, 9),
        with_count(told(blind, 11), 1),
        with_count(told(replace(blind, up=(0, 0)), 11), 2),
    ]
    assert promtool(scaled, cases) == ""


def test_last_week_s_hour_counts_with_a_margin(topology, promtool):
    changed = topology({"services": {SERVICE: {"scale": {**LIMITS, "predict": "last_week"}}}})
    place = f'tiers_topology="medical-imaging", tiers_service="{SERVICE}"'
    # Every ten minutes: at 10:00 of the first day four servers are used at 80 % for an hour, else at 8 %.
    steps, hour = 6 * 24 * 8, 6
    busy = f"8x{10 * hour - 1} 80x{hour - 1} 8x{steps}"
    series = [
        {"series": f'up{{{place}, job="tiers-service", instance="{number}"}}', "values": f"1x{steps}"}
        for number in range(4)
    ]
    series += [{"series": f'DCGM_FI_DEV_GPU_UTIL{{{place}, gpu="0"}}', "values": busy}]

    def at(hours: float, value: float) -> dict[str, object]:
        wanted = [{"labels": "{}", "value": value}]
        return {
            "expr": f"sum(round({FORECAST}, 0.01))",
            "eval_time": f"{int(hours * 60)}m",
            "exp_samples": wanted,
        }

    week = 7 * 24
    told = [
        at(5, 0),  # nobody knows last week yet
        at(week + 9.5, 0.48),  # 0.4 servers of use, a fifth more
        at(week + 9.75, 4.8),  # the hour is 15 minutes away and `ahead` 20
        at(week + 10.5, 4.8),
        at(week + 12, 0.48),
    ]
    tests = [{"interval": "10m", "input_series": series, "promql_expr_test": told}]
    assert promtool(changed, tests, every="10m") == ""


def test_every_series_that_a_rule_reads_is_one_that_somebody_exports(scaled):
    (group,) = scale_groups(scaled, frozenset(scaled.clusters))
    read = {name for rule in group.rules for name in re.findall(r"([A-Za-z_:0-9]+)\{", rule.expr)}
    raw = {name.removesuffix("_bucket") for name in read if ":" not in name}
    assert {"up", "DCGM_FI_DEV_GPU_UTIL", "edge_model_ready"} < raw
    assert raw <= set(BY_NAME)


def test_only_what_is_measured_has_rules(topology):
    hours = {"gpu": None, "queue": None, "p95": None, "errors": None}
    assert list(scale_groups(topology({"services": {SERVICE: {"scale": hours}}}), frozenset({"main"}))) == []
    assert list(scale_groups(topology({"services": {SERVICE: {"scale": None}}}), frozenset({"main"}))) == []
    assert list(scale_groups(topology(), frozenset())) == []


def test_a_latency_limit_is_one_that_the_daemon_can_show():
    assert max(SECONDS) == LONGEST_MEASURED.seconds


@pytest.mark.parametrize(
    ("pod", "service"),
    [
        ("seg-7d9f8b6c5d-x2x4z", "seg"),
        ("seg-lite-7d9f8b6c5d-x2x4z", "seg-lite"),
        (f"{LONG}-7d9f8b6x2x4z", LONG),  # NAME-HASH- has 62 characters, is cut to 58 and gets five more
        ("seg-other-7d9f8b6c5d-x2x4z", None),
        ("other-7d9f8b6c5d-x2x4z", None),
    ],
)
def test_a_gpu_belongs_to_the_service_whose_pod_uses_it(topology, pod, service):
    each = {"pool": "a100", "models": ["us-segmentation"], "replicas": {"min": 1, "max": 2}}
    changed = topology({"services": {SERVICE: None, "seg": each, "seg-lite": each, LONG: each}})
    jobs = scrape_jobs(changed, changed.monitoring, "main")
    (relabel,) = [step for job in jobs for step in job.metric_relabels if step.target == "tiers_service"]
    found = re.fullmatch(relabel.regex, f"medical-imaging;{pod}")
    assert (found[1] if found else None) == service
