"""A device that is asked too much, watched by what `tiers render --monitoring` wrote: somebody is told, and told again.

Everything is real: the daemon with a model that takes its time, the requests, Prometheus, Alertmanager. tiers.yaml
alone makes it quick (interval, after, notify); nothing that was rendered is edited. A device is called offline after
twenty seconds only: it is asked too much here, and one that answers late for a moment would wake somebody at night.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.e2e.watching import alertmanager, prometheus, webhook
from tests.edge_runtime.conftest import MODEL, Depot, Device, Keys
from toolkit.wire.device_config import ModelConfig

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(400)]

CLIENTS = 8
LIMIT = 4
TIERS_YAML = """
version: 1
name: ward
registry: file:///srv/registry
broker: {{url: "mqtt://127.0.0.1:1883"}}
clusters: {{main: {{context: here, tiers: [edge]}}}}
images: {{edge: registry.example/tiers-edge:1, jobs: registry.example/jobs:1}}
tiers:
  edge: {{pools: {{carts: {{hardware: jetson-orin-nano, nodes: {{names: [localhost]}}}}}}}}
models: {{{model}: {{source: {model}@1, pools: [carts], serving: {{queue: 20}}}}}}
monitoring:
  kind: prometheus
  interval: 1s
  alertmanager: "http://127.0.0.1:{alertmanager}"
  devices: {{scheme: http, port: {device}}}
  receivers:
    night: {{url: "http://127.0.0.1:{webhook}/night", token: {{file: {token}}}, severities: [critical]}}
    everybody: {{url: "http://127.0.0.1:{webhook}/all"}}
  notify: {{wait: 1s, interval: 1s, repeat: 1h}}
alerts: {{queue: {limit}, after: 1s, node_offline: 20s}}
"""


def slow_model() -> bytes:
    """ONNX: the scores of linear_model, and as much work beside them as takes a core some tens of milliseconds."""
    size, steps = 600, 6
    weights = np.random.default_rng(3).random((size, size), np.float32) / size
    constants = [
        numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "W"),
        numpy_helper.from_array(weights, "heavy"),
        numpy_helper.from_array(np.zeros(1, np.float32), "nothing"),
    ]
    nodes = [
        helper.make_node("MatMul", ["image", "W"], ["plain"]),
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Add", ["heavy", "mean"], ["step0"]),
        *(
            helper.make_node("MatMul", [f"step{number}", "heavy"], [f"step{number + 1}"])
            for number in range(steps)
        ),
        helper.make_node("ReduceMean", [f"step{steps}"], ["worked"], keepdims=0),
        helper.make_node("Mul", ["worked", "nothing"], ["zero"]),
        helper.make_node("Add", ["plain", "zero"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@contextmanager
def too_many(port: int):
    """Ask from many clients at once, each again as soon as it has its answer; give the count of answers."""
    ended, answered = threading.Event(), [0] * CLIENTS
    body = json.dumps(
        {"inputs": [{"name": "image", "shape": [1, 4], "datatype": "FP32", "data": [1, 0, 0, 0]}]}
    ).encode()

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with suppress(OSError):
            while not ended.is_set():
                connection.request("POST", f"/v2/models/{MODEL}/infer", body)
                answer = connection.getresponse()
                answer.read()
                answered[number] += answer.status == 200
        connection.close()

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield answered
    finally:
        ended.set()
        for client in clients:
            client.join(60)


@pytest.fixture
def device(mosquitto, tmp_path):
    """Run a daemon that serves the slow model, one request after the other."""
    keys = Keys()
    depot = Depot(f"mqtt://127.0.0.1:{mosquitto.port}", keys)
    device = Device(
        tmp_path / "device", mosquitto.port, keys, (ModelConfig(name=MODEL, max_batch=1, queue=20),)
    )
    device.start()
    try:
        depot.offer(keys.make("v1", {"model.onnx": slow_model()}))
        depot.wait_for_state("ACTIVE", "v1")
        yield device
    finally:
        depot.close()
        if device.process is not None:
            device.kill()


def test_an_overload_and_a_silent_device_reach_somebody(require, device, tmp_path, free_port, wait_until):
    require("prometheus")
    token = tmp_path / "token"
    token.write_text("secret-of-the-night\n")
    with ExitStack() as stack:
        told = stack.enter_context(webhook())
        ports = {"alertmanager": free_port(), "webhook": told.port, "device": device.port()}
        text = TIERS_YAML.format(**ports, model=MODEL, limit=LIMIT, token=token)
        (tmp_path / "tiers.yaml").write_text(text)
        command = [sys.executable, "-m", "toolkit.cli", "render", "--monitoring", "files"]
        done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        files = tmp_path / "files"
        stack.enter_context(
            alertmanager(files / "alertmanager.yml", tmp_path / "am", ports["alertmanager"], wait_until)
        )
        watching = stack.enter_context(
            prometheus(files / "prometheus.yml", tmp_path / "prom", free_port(), wait_until)
        )
        wait_until(lambda: watching.query('up{job="tiers-edge"} == 1'), "the device is scraped")
        assert watching.query('ALERTS{alertstate="firing"}') == []

        with too_many(device.port()) as answered:
            wait_until(lambda: told.alerts("TiersQueueBacklog", "firing"), "somebody hears of the queue")
            wait_until(lambda: sum(answered) > CLIENTS, "it still answers")
        (labels, waiting), *others = watching.query("max_over_time(tiers_node:queue_depth:max[1m])")
        assert (others, waiting >= LIMIT) == ([], True)
        first = told.alerts("TiersQueueBacklog", "firing")[0]
        place = {
            "tiers_topology": "ward", "tiers_cluster": "main", "tiers_tier": "edge", "tiers_pool": "carts",
            "node": "localhost", "model": MODEL,
        }  # fmt: skip
        assert first["labels"] == {**place, "alertname": "TiersQueueBacklog", "severity": "warning"}
        assert labels == place
        assert f"requests wait for {MODEL} on localhost" in first["annotations"]["summary"]
        assert first["annotations"]["runbook"] == "docs/reference/alerts.md#tiersqueuebacklog"
        wait_until(lambda: told.alerts("TiersQueueBacklog", "resolved"), "the end of it is told")
        assert "Bearer secret-of-the-night" not in told.tokens, "a warning wakes nobody"

        device.stop()
        wait_until(lambda: len(told.alerts("TiersNodeOffline", "firing")) >= 2, "both are told of the device")
        assert told.alerts("TiersNodeOffline", "firing")[0]["labels"]["node"] == "localhost"
        assert "Bearer secret-of-the-night" in told.tokens
        assert not told.alerts("TiersFleetUnwatched", "firing")
