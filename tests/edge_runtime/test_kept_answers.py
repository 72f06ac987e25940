"""A real daemon that keeps its answers: they are of the version that serves, and go when a message says so."""

from __future__ import annotations

import msgspec
import pytest

from tests.edge_runtime.conftest import MODEL, TOPICS
from toolkit.fleet.forget import forget_answers
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.wire.device_config import CacheConfig, ModelConfig

pytestmark = pytest.mark.broker
ROW = [1, 0, 0, 0]


def counted(device, result: str) -> float:
    _, page = device.get("/metrics")
    wanted = f'edge_cache_requests_total{{model="{MODEL}",result="{result}"}}'
    (line,) = [line for line in page.decode().splitlines() if line.startswith(wanted)]
    return float(line.rpartition(" ")[2])


def test_answers_are_kept_over_a_restart_and_go_with_a_version_or_a_message(
    depot, device, keys, mosquitto, wait_until
) -> None:
    device.config = msgspec.structs.replace(
        device.config, format=0, models=(ModelConfig(name=MODEL, cache=CacheConfig()),)
    )
    device.write_config()
    device.start()
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")
    first = device.infer(ROW)
    assert device.infer(ROW) == first == ("v1", [0, 1, 2])
    assert (counted(device, "hit"), counted(device, "miss")) == (1, 1)

    depot.offer(keys.model("v2"))
    depot.wait_for_state("ACTIVE", "v2")
    assert device.infer(ROW) == ("v2", [0, 2, 4])
    assert device.stop() == 0
    device.start()
    wait_until(lambda: device.get(f"/v2/models/{MODEL}/ready")[0] == 200, "it serves again")
    assert device.infer(ROW) == ("v2", [0, 2, 4])
    assert counted(device, "miss") == 0

    link = PahoLink(settings_from_url(f"mqtt://127.0.0.1:{mosquitto.port}", "operator"))
    forget_answers(link, TOPICS, MODEL, name="operator")
    link.close()
    wait_until(
        lambda: 'edge_cache_forgets_total{model="linear"} 1.0' in device.get("/metrics")[1].decode(),
        "it heard",
    )
    assert device.infer(ROW) == ("v2", [0, 2, 4])
    assert counted(device, "miss") == 1
