"""Real daemons that answer for what they cannot load: with a smaller model of their own, and with another machine's."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.edge_runtime.conftest import MODEL, Device
from toolkit.wire.device_config import ModelConfig
from toolkit.wire.offload import OffloadConfig

pytestmark = pytest.mark.broker


def test_the_fallback_answers_until_the_model_is_there(depot, device, keys) -> None:
    models = (ModelConfig(name=MODEL, fallback="lite"), ModelConfig(name="lite"))
    device.config = msgspec.structs.replace(device.config, models=models, format=0)
    device.write_config()
    device.start()
    depot.offer_as("lite", keys.model("v1", change=lambda made: msgspec.structs.replace(made, name="lite")))
    depot.wait_for_state("ACTIVE", "v1")
    assert device.infer([1, 0, 0, 0]) == ("v1", [0.0, 1.0, 2.0])
    page = device.get("/metrics")[1].decode()
    assert f'edge_ladder_rung{{model="{MODEL}"}} 0.0' in page
    assert device.stop() == 0


def test_another_machine_answers_for_a_model_that_is_not_here(
    mosquitto, depot, device, keys, tmp_path: Path
) -> None:
    device.start()
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")
    url = f"http://127.0.0.1:{device.port()}"
    model = ModelConfig(name=MODEL, offload=OffloadConfig(url=url, timeout_seconds=60))
    other = Device(tmp_path / "other", mosquitto.port, keys, models=(model,))
    other.config = msgspec.structs.replace(other.config, device="dev-other", format=0)
    other.write_config()
    try:
        other.start()
        assert other.infer([1, 0, 0, 0]) == ("v1", [0.0, 1.0, 2.0])
        page = other.get("/metrics")[1].decode()
        assert f'edge_offload_requests_total{{model="{MODEL}",outcome="ok"}} 1.0' in page
        assert other.stop() == 0
    finally:
        if other.process is not None:
            other.kill()
