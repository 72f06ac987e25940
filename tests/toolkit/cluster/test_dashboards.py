"""Every question of every dashboard, put to a real Prometheus: each has an answer.

Real are Prometheus, its rules, the daemon with a model and requests, a sync agent, and Volcano's scheduler and
controllers. Replayed from `dcgm-replayed.prom` are the GPUs' figures: there is no GPU here. The programs that stand in
a cluster are asked at their loopback ports, with the labels that their pods' scrape jobs would attach.
"""

from __future__ import annotations

import math
import re
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.e2e.watching import prometheus
from tests.edge_runtime.conftest import Depot, Device, Keys
from tests.toolkit.sync.trees import make_tree, task_of
from toolkit.render.dashboards.provision import DASHBOARDS, for_topology
from toolkit.render.monitoring.labels import CLUSTER, EDGE_JOB, NODE, POOL, TIER, TOPOLOGY
from toolkit.render.monitoring.plain import PROMETHEUS_FILE, monitoring_files
from toolkit.sync.task import encode_tasks

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

REPLAYED = Path(__file__).with_name("dcgm-replayed.prom")
VARIABLE = re.compile(r"\$(tier|pool|model|route)\b")
INTERVAL = "5s"
"""What Grafana puts for $__rate_interval where a target is asked every second: at least four intervals."""


@contextmanager
def replayed(path):
    """Answer every question with the text of a file; give the port."""

    class Replaying(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(path.read_bytes())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Replaying) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


@contextmanager
def agent(folder, wait_until):
    """Run a sync agent that carries out a route over and over; give the port of its figures."""
    make_tree(folder / "edge/frames")
    (folder / "tasks.json").write_bytes(encode_tasks([task_of(folder, every_seconds=0.2)]))
    command = [sys.executable, "-m", "cloud_jobs.sync_agent", str(folder / "tasks.json")]
    log = folder / "log"  # not a pipe: what nobody reads would hold it up when the pipe is full
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--metrics", "127.0.0.1:0"], stdout=subprocess.DEVNULL, stderr=file
        )

    def port() -> re.Match[str] | None:
        assert process.poll() is None, log.read_text()
        return re.search(r"on port (\d+)\b.*\n", log.read_text())

    try:
        wait_until(port, "it says where its figures are")
        yield int(port()[1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


@contextmanager
def asked(device):
    """Keep asking a device's model."""
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.05):
            device.infer([1.0, 0.0, 0.0, 0.0])

    client = threading.Thread(target=ask)
    client.start()
    try:
        yield
    finally:
        ended.set()
        client.join(60)


@pytest.fixture
def device(mosquitto, tmp_path):
    """Run a daemon that serves a model."""
    keys = Keys()
    depot = Depot(f"mqtt://127.0.0.1:{mosquitto.port}", keys)
    device = Device(tmp_path / "device", mosquitto.port, keys)
    device.start()
    try:
        depot.offer(keys.model("v1"))
        depot.wait_for_state("ACTIVE", "v1")
        yield device
    finally:
        depot.close()
        device.kill()


def watched(site, port_of):
    """Give the text of prometheus.yml: as rendered, and beside it the programs of the cluster at loopback."""
    here = {TOPOLOGY: site.name, CLUSTER: "main"}
    labels = {
        "agent": {**here, TIER: "edge"},
        "gpus": {**here, TIER: "hot", POOL: "a100", NODE: "a100-001"},
        "scheduler": {},
        "controllers": {},
    }
    config = yaml.safe_load(monitoring_files(site.topology)[PROMETHEUS_FILE])
    config["scrape_configs"] += [
        {
            "job_name": name,
            "static_configs": [{"targets": [f"127.0.0.1:{port_of[name]}"], "labels": attached}],
        }
        for name, attached in labels.items()
    ]
    return yaml.safe_dump(config)


def answer(watching, expr) -> bool:
    """Tell whether a question has a number for an answer, as Grafana would put it with everything chosen."""
    plain = VARIABLE.sub(".*", expr.replace("$__rate_interval", INTERVAL))
    assert "$" not in plain
    return any(not math.isnan(value) for _, value in watching.query(plain))


def test_every_panel_shows_something(require, site, plane, device, tmp_path, free_port, wait_until):
    require("prometheus")
    own = site(
        {
            "services": None,
            "models": None,
            "tiers": {
                "edge": {
                    "pools": {
                        "endoscopy": None,
                        "ultrasound": {"nodes": {"count": None, "labels": None, "names": ["localhost"]}},
                    }
                }
            },
            "monitoring": {
                "kind": "prometheus",
                "interval": "1s",
                "alertmanager": "http://127.0.0.1:9",
                "devices": {"scheme": "http", "port": device.port()},
            },
        }
    )
    assert own.apply().failed == ()
    wait_until(lambda: len(own.pods("digits")) == 2, "a gang runs")
    with ExitStack() as stack:
        scheduler, controllers = plane.metrics_ports
        port_of = {
            "agent": stack.enter_context(agent(tmp_path / "agent", wait_until)),
            "gpus": stack.enter_context(replayed(REPLAYED)),
            "scheduler": scheduler,
            "controllers": controllers,
        }
        files = tmp_path / "files"
        files.mkdir()
        for name, text in monitoring_files(own.topology).items():
            (files / name).write_text(text)
        (files / PROMETHEUS_FILE).write_text(watched(own, port_of))
        stack.enter_context(asked(device))
        watching = stack.enter_context(
            prometheus(files / PROMETHEUS_FILE, tmp_path / "prom", free_port(), wait_until)
        )
        wait_until(lambda: watching.query(f'up{{job="{EDGE_JOB}"}} == 1'), "the device is scraped")
        questions = [
            (each.name, panel.title, query.expr)
            for each in DASHBOARDS
            for panel in for_topology(each, own.topology).panels
            for query in panel.queries
        ]
        silent = questions

        def everything_answers() -> bool:
            nonlocal silent
            silent = [each for each in silent if not answer(watching, each[2])]
            return not silent

        try:
            wait_until(everything_answers, "every question has an answer")
        except pytest.fail.Exception:
            pytest.fail(f"{len(silent)} of {len(questions)} questions have no answer: {silent}")
