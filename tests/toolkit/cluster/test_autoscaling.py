"""Replicas under an autoscaler on a real control plane, and the real HPA controller fed by a real Prometheus."""

from __future__ import annotations

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import pytest
import urllib3

from tests.cluster.external_metrics import GROUP, ExternalMetrics, registration
from toolkit.cluster.apply import Outcome
from toolkit.render.autoscaling import METRICS
from toolkit.render.monitoring.rules import groups

NAME = "medical-ai"
ONE_SERVICE = {
    "tiers": {"edge": {"pools": {"ultrasound": None}}},
    "models": {"us-segmentation": {"pools": ["endoscopy"], "fallback": None}, "us-segmentation-lite": None},
    "jobs": None,
}
BY_HPA = {"services": {NAME: {"replicas": {"min": 2, "max": 9}, "scale": {"by": "hpa", "peaks": None}}}}


def deployment(site) -> str:
    return f"/apis/apps/v1/namespaces/{site.name}/deployments/{NAME}"


def replicas(site) -> int:
    return site.api.get(deployment(site))["spec"]["replicas"]


def scaled_by_its_controller(site, count: int) -> None:
    """Scale as the HPA controller does: by the subresource, under the controller manager's name."""
    site.api.merge(f"{deployment(site)}/scale", {"spec": {"replicas": count}}, "kube-controller-manager")


def test_what_an_autoscaler_decided_is_no_difference_and_stays(site, topology):
    hospital = site(ONE_SERVICE)
    assert hospital.apply().failed == ()
    scaled_by_its_controller(hospital, 7)
    assert hospital.diff().differences == ()
    changed = hospital.changed(
        topology({"name": hospital.name, **ONE_SERVICE, "services": {NAME: {"port": 8081}}})
    )
    assert changed.apply().count(Outcome.CHANGED) >= 1
    assert replicas(hospital) == 7


def test_a_service_that_begins_to_scale_keeps_the_servers_it_has(site, topology):
    still = {**ONE_SERVICE, "services": {NAME: {"replicas": {"min": 4, "max": 9}, "scale": None}}}
    hospital = site(still)
    assert hospital.apply().failed == ()
    assert replicas(hospital) == 4
    scaling = hospital.changed(topology({"name": hospital.name, **ONE_SERVICE}))
    assert scaling.apply().failed == ()
    assert replicas(hospital) == 4
    assert scaling.diff().differences == ()


# ---------------------------------------------------------------- the real controller
class Exporter:
    """A page of series of the service's servers; `gpu` is the use of their GPU in percent."""

    def __init__(self) -> None:
        self.gpu = 50
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = (
                    f'DCGM_FI_DEV_GPU_UTIL{{gpu="0"}} {outer.gpu}\n'
                    'edge_model_ready{model="us-segmentation"} 1\n'
                    'edge_inference_pending_requests{model="us-segmentation"} 0\n'
                )
                self.send_response(200)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def exporter():
    page = Exporter()
    yield page
    page.stop()


@pytest.fixture
def prometheus(require, tmp_path, free_port, wait_until, exporter):
    """Give a function that starts a Prometheus with the rules of a topology and gives its address."""
    require("prometheus")
    started = []

    def start(topology) -> str:
        made = [
            group
            for group in groups(topology, topology.monitoring, topology.clusters)
            if "scale" in group.name
        ]
        rules = {
            "groups": [{"name": each.name, "rules": [_written(rule) for rule in each.rules]} for each in made]
        }
        labels = {"tiers_topology": topology.name, "tiers_service": NAME}
        target = {"targets": [f"127.0.0.1:{exporter.port}"], "labels": labels}
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "tiers-service", "static_configs": [target]}],
        }
        (tmp_path / "rules.yml").write_text(json.dumps(rules))
        (tmp_path / "prometheus.yml").write_text(json.dumps(config))
        address = f"127.0.0.1:{free_port()}"
        flags = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
        with (tmp_path / "prometheus.log").open("wb") as log:
            command = ["prometheus", *flags, f"--web.listen-address={address}"]
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
        wait_until(lambda: _answers(f"http://{address}/-/ready"), "Prometheus is ready")
        return f"http://{address}"

    yield start
    for each in started:
        each.terminate()
        each.wait(timeout=60)


def _written(rule) -> dict[str, object]:
    named = {"record": rule.record} if rule.record else {"alert": rule.alert, "for": rule.hold}
    return {**named, "expr": rule.expr, "labels": dict(rule.labels)}


def _answers(url: str) -> bool:
    try:
        with urllib3.PoolManager() as pool:
            return pool.request("GET", url, timeout=1.0, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


@pytest.fixture
def adapter(plane):
    """Give a function that stands an adapter before a Prometheus; it is taken away after the test."""
    made = []

    def stand(address: str) -> ExternalMetrics:
        found = ExternalMetrics(address, METRICS, *plane.authority.server("adapter"))
        service, api = registration(found.port)
        plane.api.create("/api/v1/namespaces/default/services", service)
        plane.api.create("/apis/apiregistration.k8s.io/v1/apiservices", api)
        made.append(found)
        return found

    yield stand
    for each in made:
        plane.api.delete(f"/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.{GROUP}")
        plane.api.delete("/api/v1/namespaces/default/services/metrics-adapter")
        each.stop()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_real_controller_goes_by_the_rule(site, prometheus, adapter, exporter, wait_until):
    """The load comes and goes. The five minutes before fewer become ten seconds, all else is as rendered."""
    hospital = site({**ONE_SERVICE, **BY_HPA})
    adapter(prometheus(hospital.topology))
    assert hospital.apply().failed == ()
    path = f"/apis/autoscaling/v2/namespaces/{hospital.name}/horizontalpodautoscalers/{NAME}"

    def active() -> bool:
        listed = hospital.api.get(path).get("status", {}).get("conditions") or []
        return any(each["type"] == "ScalingActive" and each["status"] == "True" for each in listed)

    def ready() -> int:
        return hospital.api.get(deployment(hospital)).get("status", {}).get("readyReplicas", 0)

    wait_until(active, "the controller reads the figure")
    wait_until(lambda: ready() == 2, "the fewest servers run")

    exporter.gpu = 95
    seen = [2]

    def grown() -> bool:
        if (now := replicas(hospital)) != seen[-1]:
            seen.append(now)
        return now == 9

    wait_until(grown, "as many servers as there may be")
    assert seen == sorted(seen)
    assert max(later - sooner for sooner, later in pairwise(seen)) <= 4, seen
    assert hospital.diff().differences == ()

    exporter.gpu = 10
    held = threading.Event()
    assert not held.wait(8)
    assert replicas(hospital) == 9, "the window is five minutes"
    window = {"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 10}}}}
    hospital.api.merge(path, window, manager="kubectl-edit")
    wait_until(lambda: replicas(hospital) < 9, "fewer servers")
    assert replicas(hospital) == 5, "half of nine, rounded up"
