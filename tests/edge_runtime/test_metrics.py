"""The page at /metrics: every metric that the rules read from the daemon is there, also those of a Jetson."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from edge_runtime.facts import read_fingerprint
from edge_runtime.jetson import GpuFigures, read_gpu
from edge_runtime.metrics import Condition, DeviceCollector
from edge_runtime.sensors import UNKNOWN, Readings, read_sensors
from edge_runtime.serving.metrics import page
from edge_runtime.serving.stats import SECONDS
from tests.edge_runtime.conftest import MODEL
from toolkit.render.monitoring.series import DAEMON, SERIES
from toolkit.wire.device_config import CacheConfig, ModelConfig
from toolkit.wire.states import InstallState


def samples(condition: Condition) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    registry = CollectorRegistry()
    registry.register(DeviceCollector(read_fingerprint(), lambda: condition))
    families = text_string_to_metric_families(page(registry).decode())
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value
        for family in families
        for each in family.samples
    }


def condition(readings: Readings = UNKNOWN) -> Condition:
    return Condition(
        states={"digits": InstallState.DOWNLOADING},
        loads={("digits", True): 3, ("digits", False): 1},
        connected=True,
        refused_documents=2,
        disk_free_bytes=1000,
        readings=readings,
    )


def jetson(root: Path) -> Path:
    files = {
        "sys/class/devfreq/15340000.vic/device/load": "999",
        "sys/class/devfreq/17000000.gpu/device/load": "735",
        "sys/class/devfreq/17000000.gpu/cur_freq": "918000000",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
        "sys/class/thermal/thermal_zone0/temp": "71000",
        "sys/class/thermal/thermal_zone1/type": "gpu-thermal",
        "sys/class/thermal/thermal_zone1/temp": "64500",
        "sys/class/hwmon/hwmon1/name": "ina3221",
        "sys/class/hwmon/hwmon1/in1_label": "VDD_IN",
        "sys/class/hwmon/hwmon1/in1_input": "5000",
        "sys/class/hwmon/hwmon1/curr1_input": "2500",
        "sys/class/hwmon/hwmon2/oc1_event_cnt": "2",
        "sys/class/hwmon/hwmon2/oc3_event_cnt": "5",
        "proc/meminfo": "MemTotal:  8000 kB\nMemFree: 100 kB\nMemAvailable:  2000 kB\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


def test_loads_states_disk_and_connection_are_shown() -> None:
    found = samples(condition())
    assert found["edge_model_loads_total", (("model", "digits"), ("result", "ok"))] == 3
    assert found["edge_model_loads_total", (("model", "digits"), ("result", "failed"))] == 1
    assert found["edge_install_state", (("model", "digits"), ("state", "DOWNLOADING"))] == 1
    assert found["edge_disk_free_bytes", ()] == 1000
    assert found["edge_connected", ()] == 1
    assert found["edge_documents_refused_total", ()] == 2
    measured = ("edge_gpu", "edge_temperature", "edge_power", "edge_throttled")
    assert not any(name.startswith(measured) for name, _ in found), "nothing was measured"


def test_the_gpu_of_a_jetson_is_read_from_its_kernel(tmp_path: Path) -> None:
    readings = read_sensors(jetson(tmp_path))
    assert readings.gpu == GpuFigures(
        utilization=0.735,
        temperature=64.5,
        memory_used=6000 * 1024,
        memory_total=8000 * 1024,
        hertz=918e6,
    )
    found = samples(condition(readings))
    gpu = (("gpu", "0"),)
    assert found["edge_gpu_memory_used_bytes", gpu] == 6000 * 1024
    assert found["edge_gpu_utilization_ratio", gpu] == 0.735
    assert found["edge_gpu_temperature_celsius", gpu] == 64.5
    assert found["edge_gpu_clock_hertz", gpu] == 918e6
    assert found["edge_gpu_throttle_events_total", gpu] == 7
    assert found["edge_temperature_celsius", (("zone", "cpu-thermal"),)] == 71
    assert found["edge_power_watts", (("rail", "VDD_IN"),)] == 12.5
    assert found["edge_throttled", ()] == 0


@pytest.mark.parametrize(
    ("file", "field"),
    [
        ("sys/class/devfreq/17000000.gpu/device/load", "utilization"),
        ("sys/class/thermal/thermal_zone1/temp", "temperature"),
    ],
)
@pytest.mark.parametrize("text", [None, "", "not a number"])
def test_a_figure_that_the_machine_does_not_tell_is_left_out(tmp_path, file, field, text) -> None:
    place = jetson(tmp_path) / file
    if text is None:
        place.unlink()
    else:
        place.write_text(text)
    figures = read_gpu(tmp_path)
    assert figures is not None
    assert getattr(figures, field) is None
    shown = samples(condition(read_sensors(tmp_path)))
    name = {"utilization": "edge_gpu_utilization_ratio", "temperature": "edge_gpu_temperature_celsius"}[field]
    assert (name, (("gpu", "0"),)) not in shown


def test_a_machine_without_such_a_gpu_has_none(tmp_path: Path) -> None:
    (tmp_path / "sys/class/devfreq/15340000.vic").mkdir(parents=True)
    assert read_gpu(tmp_path) is None


def test_the_bounds_of_the_histogram_hold_the_limits_that_sites_set() -> None:
    assert {0.5, 5.0} <= set(SECONDS)


def test_every_metric_of_the_list_is_on_the_page(tmp_path: Path, device, depot, keys, wait_until) -> None:
    """Of the real daemon, and of a Jetson's kernel; what has no source yet says so in the list."""
    keeps = ModelConfig(name=MODEL, cache=CacheConfig())
    device.config = msgspec.structs.replace(device.config, format=0, models=(keeps,))
    device.write_config()
    device.start()
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")
    device.infer([1, 0, 0, 0])
    shown = {name for name, _ in samples(condition(read_sensors(jetson(tmp_path))))}
    text = device.get("/metrics")[1].decode()
    shown |= {each.name for family in text_string_to_metric_families(text) for each in family.samples}
    for each in SERIES:
        if each.source != DAEMON:
            continue
        names = {each.name} if each.kind != "histogram" else {f"{each.name}_bucket", f"{each.name}_sum"}
        assert (names <= shown) == (not each.comes_with.startswith("no source")), each.name
    wait_until(
        lambda: 'result="ok"} 2.0' in device.get("/metrics")[1].decode(), "the check and the switch count"
    )
