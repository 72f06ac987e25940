"""The daemon takes the second road: a model comes over HTTP while the site's depot serves only the index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.edge_runtime.conftest import Device
from tests.edge_runtime.test_with_depot import MODEL, PATIENT, House, house
from toolkit.fleet.http_road import HttpRoad
from toolkit.fleet.listen import Listen
from toolkit.wire.device_config import ModelConfig
from toolkit.wire.download import DownloadConfig

pytestmark = pytest.mark.broker
__all__ = ["house"]


@pytest.fixture
def road(house: House) -> Iterator[HttpRoad]:
    made = HttpRoad(Listen("--http", "127.0.0.1", 0), lambda: house.site.store, house.site.keyring)
    made.start()
    yield made
    made.close()


def test_a_model_comes_over_http_and_the_page_says_so(
    mosquitto, house: House, road: HttpRoad, tmp_path: Path, wait_until
) -> None:
    models = (ModelConfig(name=MODEL, max_batch=200),)
    device = Device(tmp_path / "device", mosquitto.port, house.site, models=models)
    download = DownloadConfig(url=f"http://127.0.0.1:{road.port}", prefer="http")
    device.config = msgspec.structs.replace(device.config, download=download)
    device.write_config()
    pushed = house.push("v1")
    device.start(*PATIENT)  # a busy machine is no reason to take the other road
    try:
        house.roll_out(pushed)
        report, over_mqtt, _ = house.await_report("ACTIVE", "v1")
        assert report.chunks_have == report.chunks_total == pushed.chunks
        assert not over_mqtt, "the depot was asked for no chunk"
        assert report.bytes_received > pushed.total_bytes
        status, page = device.get("/metrics")
        assert status == 200
        figures = dict(line.rsplit(" ", 1) for line in page.decode().splitlines() if line[:1] != "#")
        assert float(figures["edge_http_road_bytes_total"]) > pushed.total_bytes
        assert float(figures["edge_http_road_failures_total"]) == 0
    finally:
        device.stop()
    wait_until(
        lambda: road.counters.bytes_sent == pushed.total_bytes, "the server has counted each byte once"
    )
