"""What `scale` and `vertical` become, and how many servers follow from it by the arithmetic of the HPA controller."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.toolkit.render.replica_arithmetic import SYNC, Controller
from toolkit.render.autoscaling import METRICS
from toolkit.render.monitoring.scale import (
    ERRORS,
    GPU_USE,
    LATENCY,
    PRESSURE,
    QUEUE_DEPTH,
    SCALE_IN,
    SCALE_OUT,
    SETTLED,
)
from toolkit.render.objects import render

NAME = "medical-ai"
TIMES = {"gpu": {"out": "80%", "in": "30%"}}
NONE = {"gpu": None, "queue": None, "p95": None, "errors": None, "peaks": []}


def rendered(topology, kind, scale=None, **changes):
    services = {NAME: changes | ({} if scale is None else {"scale": scale})}
    extra = {"monitoring": changes.pop("monitoring")} if "monitoring" in changes else {}
    objects = [each.body for each in render(topology({"services": services, **extra})) if each.kind == kind]
    return [each for each in objects if each["metadata"]["labels"]["tiers.dev/topology"] == "medical-imaging"]


def spec(topology, kind="ScaledObject", scale=None, **changes):
    (body,) = rendered(topology, kind, scale, **changes)
    return body["spec"]


def deployment(topology, **changes):
    return next(
        each for each in rendered(topology, "Deployment", **changes) if each["metadata"]["name"] == NAME
    )


# ---------------------------------------------------------------- who has the number of replicas
def test_under_an_autoscaler_a_deployment_has_no_replicas(topology):
    assert "replicas" not in deployment(topology)["spec"]
    assert "replicas" not in deployment(topology, scale={"by": "hpa", "peaks": None})["spec"]


def test_without_one_it_has_the_fewest(topology):
    services = {NAME: {"scale": None, "replicas": {"min": 3, "max": 9}}}
    bodies = [each.body for each in render(topology({"services": services}))]
    (body,) = [each for each in bodies if each["kind"] == "Deployment" and each["metadata"]["name"] == NAME]
    assert body["spec"]["replicas"] == 3
    assert not {"ScaledObject", "HorizontalPodAutoscaler"} & {each["kind"] for each in bodies}


# ---------------------------------------------------------------- KEDA
def test_keda_asks_for_the_pressure_of_this_service(topology):
    found = spec(topology)
    (pressure,) = [each for each in found["triggers"] if each["name"] == "pressure"]
    assert found["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}
    assert (found["minReplicaCount"], found["maxReplicaCount"]) == (2, 20)
    assert pressure["metricType"] == "Value"
    assert pressure["metadata"]["serverAddress"] == "http://prometheus.monitoring:9090"
    assert f'tiers_service="{NAME}"' in pressure["metadata"]["query"]
    assert "authenticationRef" not in pressure


def test_no_answer_is_no_zero_and_keeps_the_servers(topology):
    found = spec(topology)
    (pressure,) = [each for each in found["triggers"] if each["type"] == "prometheus"]
    assert pressure["metadata"]["ignoreNullValues"] == "false"
    assert found["fallback"] == {"failureThreshold": 3, "replicas": 2, "behavior": "currentReplicasIfHigher"}


def test_every_value_of_a_trigger_is_a_text(topology):
    triggers = spec(topology, scale={"predict": "last_week"})["triggers"]
    assert {each["name"] for each in triggers} == {"pressure", "last-week", "peak-1"}
    assert {type(value) for each in triggers for value in each["metadata"].values()} == {str}


def test_peaks_are_floors_that_begin_early(topology):
    peaks = [{"days": "mon-fri", "from": "08:00", "to": "18:00", "at_least": 6}]
    (floor,) = [
        each
        for each in spec(topology, scale={"peaks": peaks, "ahead": "1h"})["triggers"]
        if each["type"] == "cron"
    ]
    assert floor["metadata"] == {
        "timezone": "UTC",
        "start": "0 7 * * 1-5",
        "end": "0 18 * * 1-5",
        "desiredReplicas": "6",
    }


def test_a_peak_without_end_is_the_fewest(topology):
    always = [{"days": "mon-sun", "from": "00:00", "to": "24:00", "at_least": 5}]
    found = spec(topology, scale={"peaks": always})
    assert found["minReplicaCount"] == 5
    assert [each["type"] for each in found["triggers"]] == ["prometheus"]


def test_hours_alone_ask_nobody(topology):
    found = spec(
        topology, scale=NONE | {"peaks": [{"days": "sat", "from": "08:00", "to": "12:00", "at_least": 4}]}
    )
    assert [each["type"] for each in found["triggers"]] == ["cron"]
    assert "fallback" not in found


def test_a_token_is_a_reference_and_made_once(topology):
    second = {"pool": "h100", "models": ["us-segmentation"], "replicas": {"min": 1, "max": 4}, "scale": TIMES}
    changed = topology(
        {"services": {"second": second}, "monitoring": {"token": {"secret": "prometheus/key"}}}
    )
    bodies = [each.body for each in render(changed)]
    (login,) = [each for each in bodies if each["kind"] == "TriggerAuthentication"]
    assert login["spec"]["secretTargetRef"] == [
        {"parameter": "bearerToken", "name": "prometheus", "key": "key"}
    ]
    asked = [
        trigger
        for each in bodies
        if each["kind"] == "ScaledObject"
        for trigger in each["spec"]["triggers"]
        if trigger["type"] == "prometheus"
    ]
    assert len(asked) == 2
    assert {each["authenticationRef"]["name"] for each in asked} == {login["metadata"]["name"]}


# ---------------------------------------------------------------- a plain HPA
def test_an_hpa_reads_the_same_figure(topology):
    found = spec(
        topology, "HorizontalPodAutoscaler", scale={"by": "hpa", "peaks": None, "predict": "last_week"}
    )
    pressure, forecast = (each["external"] for each in found["metrics"])
    assert pressure["metric"]["name"] == "tiers_service_scale_pressure"
    assert pressure["metric"]["selector"]["matchLabels"] == {
        "tiers_topology": "medical-imaging",
        "tiers_service": NAME,
    }
    assert pressure["target"] == {"type": "Value", "value": "1"}
    assert forecast["target"] == {"type": "AverageValue", "averageValue": "1"}
    assert {found["behavior"][each]["tolerance"] for each in ("scaleUp", "scaleDown")} == {"0.25"}


# ---------------------------------------------------------------- sizes
def test_a_vpa_sizes_cpu_and_memory_of_the_server_and_nothing_else(topology):
    found = spec(topology, "VerticalPodAutoscaler", vertical=True)
    template = deployment(topology)["spec"]["template"]["spec"]
    (policy,) = found["resourcePolicy"]["containerPolicies"]
    (server,) = [each for each in template["containers"] if each["name"] == policy["containerName"]]
    assert found["updatePolicy"] == {"updateMode": "InPlaceOrRecreate", "minReplicas": 1}
    assert policy["controlledResources"] == ["cpu", "memory"]
    assert set(policy["minAllowed"]) == set(policy["maxAllowed"]) == {"cpu", "memory"}
    assert policy["maxAllowed"]["memory"] == server["resources"]["limits"]["memory"]


def test_nobody_is_sized_unasked(topology):
    assert rendered(topology, "VerticalPodAutoscaler") == []


def test_an_agent_and_a_depot_are_sized_up_to_their_limits(topology):
    agent = {"pool": "nvme", "memory": "3GiB", "vertical": True}
    depot = {"pool": "nvme", "keyring": {"secret": "keyring"}, "memory": "2GiB", "vertical": True}
    routes = {"frames": None, "copies": {"from": "warm", "to": "cold", "path": "x", "every": "5m"}}
    changed = topology(
        {"registry": "s3://models", "tiers": {"warm": {"agent": agent}}, "depot": depot, "routes": routes}
    )
    bodies = {(each.kind, each.name): each for each in render(changed)}
    sized = {name: each for (kind, name), each in bodies.items() if kind == "VerticalPodAutoscaler"}
    assert {name: each.source for name, each in sized.items()} == {
        "tiers-sync-warm": "tiers.warm.agent.vertical",
        "tiers-depot": "depot.vertical",
    }
    for name, each in sized.items():
        pod = bodies["Deployment", name].body["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        (policy,) = each.body["spec"]["resourcePolicy"]["containerPolicies"]
        assert policy["containerName"] == container["name"]
        assert policy["maxAllowed"]["memory"] == container["resources"]["limits"]["memory"]
        assert policy["minAllowed"] == container["resources"]["requests"]


# ---------------------------------------------------------------- how many follow
@pytest.fixture(params=["keda", "hpa"])
def controller(topology, request):
    """Give `controller(current)`: the arithmetic with what is rendered for 2 to 20 servers, in both forms."""
    if request.param == "keda":
        found = spec(topology)
        limits = found["minReplicaCount"], found["maxReplicaCount"]
        behavior = found["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    else:
        found = spec(topology, "HorizontalPodAutoscaler", scale={"by": "hpa", "peaks": None})
        limits, behavior = (found["minReplicas"], found["maxReplicas"]), found["behavior"]
    return lambda current: Controller(*limits, behavior, current)


def run(controller, seconds, pressure, loads=0, floors=(), begin=0):
    """Sync through some time; a server is ready `loads` seconds after it was wanted. Give the replicas of each sync."""
    history, ready_at = [], [begin] * controller.current
    for now in range(begin, begin + seconds, SYNC):
        ready = sum(each <= now for each in ready_at)
        count = controller.sync(now, ready, pressure(now, ready), floors)
        ready_at = ready_at[:count] + [now + loads] * (count - len(ready_at))
        history.append(count)
    return history


def test_out_at_once_and_half_as_many_more_each_time(controller):
    assert run(controller(2), 120, lambda *_: 1.5) == [3, 5, 8, 12, 18, 20, 20, 20]


def test_never_more_than_the_most_nor_less_than_the_fewest(controller):
    assert max(run(controller(2), 3600, lambda *_: 1.5)) == 20
    assert min(run(controller(20), 7200, lambda *_: 0.5)) == 2


def test_in_after_five_minutes_and_by_half(controller):
    history = run(controller(20), 1500, lambda *_: 0.5)
    changes = [number * SYNC for number in range(1, len(history)) if history[number] != history[number - 1]]
    assert changes[0] == 300
    assert history == sorted(history, reverse=True)
    assert all(2 * low >= high for high, low in pairwise(history))
    assert all(later - sooner >= 300 for sooner, later in pairwise(changes))


def test_five_minutes_are_counted_from_the_last_time_of_need(controller):
    calm = controller(8)
    assert run(calm, 300, lambda *_: 1.0) == [8] * 20
    history = run(calm, 600, lambda *_: 0.5, begin=300)
    assert history[:19] == [8] * 19
    assert history[20] == 4


def test_inside_the_band_nothing_moves(controller):
    assert set(run(controller(7), 3600, lambda *_: 1.0)) == {7}


def test_one_low_minute_between_moves_nothing(controller):
    assert set(run(controller(8), 3600, lambda now, _: 0.5 if now % 240 < 60 else 1.0)) == {8}


def test_servers_that_load_hold_back_more_of_them(controller):
    history = run(controller(2), 300, lambda *_: 1.5, loads=240)
    assert history == [3] * 16 + [5] * 4


def test_a_load_is_met_without_swinging(controller):
    """Work for nine servers at 80 %: it ends between the limits and stays there."""
    load = 7.2

    def pressure(_now, ready):
        use = min(1.0, load / ready)
        return 1.5 if use > 0.8 else 0.5 if use < 0.3 else 1.0

    history = run(controller(2), 7200, pressure, loads=60)
    assert history[-1] == 12
    assert history == sorted(history)


def test_floors_hold_and_go(controller):
    held = controller(2)
    assert run(held, 120, lambda *_: 0.5, floors=(6,))[-1] == 6
    assert set(run(held, 3600, lambda *_: 0.5, floors=(6, 4), begin=120)) == {6}
    assert run(held, 3600, lambda *_: 0.5, begin=3720)[-1] == 2


def test_when_a_floor_ends_half_go_each_minute(controller):
    history = run(controller(16), 600, lambda *_: None, floors=(0,))
    assert [(history.index(count) * SYNC, count) for count in (8, 4, 2)] == [(300, 8), (360, 4), (420, 2)]


# ---------------------------------------------------------------- the guide
def test_the_guide_names_the_records_and_the_adapter_s_rules_as_they_are():
    guide = (Path(__file__).parents[3] / "docs" / "guides" / "scale.md").read_text()
    (rules,) = re.findall(r"```yaml\n(externalRules:.*?)```", guide, re.DOTALL)
    named = {
        each["seriesQuery"].split('"')[1]: each["name"]["as"]
        for each in yaml.safe_load(rules)["externalRules"]
    }
    assert named == METRICS
    (queries,) = re.findall(r"```promql\n(.*?)```", guide, re.DOTALL)
    asked = [re.search(r'__name__=~"([^"]+)"', each)[1] for each in queries.splitlines() if "=~" in each]
    records = (GPU_USE, QUEUE_DEPTH, LATENCY, ERRORS, SETTLED, SCALE_OUT, SCALE_IN)
    assert all(any(re.fullmatch(each, record) for each in asked) for record in records)
    assert PRESSURE in queries
