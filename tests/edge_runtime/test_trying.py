"""A real daemon tries a new version out before it serves everybody, and loads a lazy model when somebody asks."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from edge_runtime.memory import PER_MODEL
from tests.edge_runtime.conftest import MODEL, Depot, Device, Keys
from toolkit.wire.device_config import ModelConfig, ShadowConfig

pytestmark = pytest.mark.broker
ROW = [1.0, 0.0, 0.0, 0.0]


def configure(device: Device, model: ModelConfig) -> None:
    device.config = msgspec.structs.replace(device.config, models=(model,), format=0)
    device.write_config()


def ask(port: int) -> str:
    """Give the version that answered, or that the daemon said to come again."""
    body = {"inputs": [{"name": "image", "shape": [1, 4], "datatype": "FP32", "data": ROW}]}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", f"/v2/models/{MODEL}/infer", json.dumps(body))
        response = connection.getresponse()
        document = json.loads(response.read())
        if response.status in {429, 503}:
            assert int(response.headers["Retry-After"]) > 0
            return "again"
        assert response.status == 200, document
        return str(document["model_version"])
    finally:
        connection.close()


@contextmanager
def asking(device: Device) -> Iterator[set[str]]:
    """Ask all the while; give the versions that answered, once it is over."""
    port, enough = device.port(), threading.Event()
    told: set[str] = set()

    def work() -> None:
        while not enough.is_set():
            told.add(ask(port))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield told
    finally:
        enough.set()
        thread.join(90)
    told.discard("again")  # a busy machine may take longer than questions wait


def test_a_version_that_differs_in_the_shadow_is_refused_and_nobody_notices(
    device: Device, depot: Depot, keys: Keys
) -> None:
    shadow = ShadowConfig(requests=2, seconds=60, max_difference=0.1)
    configure(device, ModelConfig(name=MODEL, shadow=shadow))
    device.start()
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")
    with asking(device) as told:
        depot.offer(keys.model("v2"), rollout="r2")
        report = depot.wait_for_state("FAILED", "v2")
    assert report.code == "shadow-differs"
    assert "2 requests compared, 0 failed" in report.reason
    assert report.serving_version == "v1"
    assert told == {"v1"}
    assert f'edge_shadow_requests{{model="{MODEL}",version="v2"}} 2.0' in device.get("/metrics")[1].decode()
    depot.offer(keys.model("v3", weight=1.0), rollout="r3")
    with asking(device):
        depot.wait_for_state("ACTIVE", "v3")
    assert device.infer(ROW)[0] == "v3"


def test_where_memory_holds_one_version_requests_wait_for_the_next_and_for_the_old_one_to_come_back(
    device: Device, depot: Depot, keys: Keys, wait_until: Callable[..., None]
) -> None:
    room = {"models": (ModelConfig(name=MODEL),), "memory_budget_bytes": PER_MODEL + PER_MODEL // 2}
    device.config = msgspec.structs.replace(device.config, format=0, **room)
    device.write_config()
    device.start()
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")
    with asking(device) as told:
        depot.offer(keys.model("v2", golden_weight=9.0), rollout="r2")
        assert depot.wait_for_state("FAILED", "v2").code == "golden-mismatch"
        # It is said before the old one is back, and only with that one in memory the next has to wait for room.
        wait_until(lambda: "v1 is loaded again" in device.log(), "the old one is back")
        wait_until(lambda: ask(device.port()) == "v1", "it answers")
        depot.offer(keys.model("v3"), rollout="r3")
        depot.wait_for_state("ACTIVE", "v3")
    assert device.infer(ROW)[0] == "v3"
    assert told <= {"v1", "v3"}
    log = device.log()
    assert "memory does not hold v1 and v2; requests wait" in log
    assert "v1 is loaded again" in log
    assert "memory does not hold v1 and v3; requests wait" in log


def test_a_trial_holds_its_share_also_after_a_restart(
    device: Device, depot: Depot, keys: Keys, wait_until: Callable[..., None]
) -> None:
    configure(device, ModelConfig(name=MODEL, trial_share=0.0, probation_seconds=600.0))
    device.start()
    depot.offer(keys.model("v1"))
    depot.wait_for_state("PROBATION", "v1")
    depot.offer(keys.model("v2"), rollout="r2")
    depot.wait_for(lambda model: model.state.value == "PROBATION" and model.serving_version == "v2")
    assert device.infer(ROW)[0] == "v1", "a share of nothing"
    device.stop()
    device.start()
    wait_until(lambda: device.get("/v2/health/ready")[0] == 200, "it serves again")
    wait_until(lambda: device.infer(ROW)[0] == "v1", "the version before answers the others again")


def test_a_lazy_model_is_in_memory_once_somebody_has_asked(
    device: Device, depot: Depot, keys: Keys, wait_until: Callable[..., None]
) -> None:
    configure(device, ModelConfig(name=MODEL, load="lazy"))
    device.start()
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")
    device.stop()
    device.start()
    wait_until(lambda: device.get("/v2/health/ready")[0] == 200, "it would serve")
    loaded = f'edge_model_loaded{{model="{MODEL}"}} '
    assert f"{loaded}0.0" in device.get("/metrics")[1].decode()
    assert device.infer(ROW)[0] == "v1"
    shown = device.get("/metrics")[1].decode()
    assert f"{loaded}1.0" in shown
    assert f'edge_first_request_seconds{{model="{MODEL}",version="v1"}} ' in shown
