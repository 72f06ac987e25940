"""The sensors of machines that are not here, as files; each figure that a machine does not tell is missing, not 0."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edge_runtime.facts import jetpack_of
from edge_runtime.jetson import GpuFigures
from edge_runtime.sensors import THROTTLE_SECONDS, UNKNOWN, Readings, Sensors, read_sensors

MEMORY = "MemTotal:  8000 kB\nMemFree: 100 kB\nMemAvailable:  2000 kB\n"
INA = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon4"
ORIN = {  # Orin NX with JetPack 6.2
    "proc/meminfo": MEMORY,
    "sys/class/devfreq/15340000.vic/device/load": "999",
    "sys/class/devfreq/17000000.gpu/cur_freq": "306000000",
    "sys/devices/platform/bus@0/17000000.gpu/load": "421",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
    "sys/class/thermal/thermal_zone0/temp": "51250",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal",
    "sys/class/thermal/thermal_zone1/temp": "49500",
    "sys/class/thermal/thermal_zone2/type": "cv0-thermal",
    "sys/class/thermal/thermal_zone2/temp": "-256000",
    "sys/class/thermal/thermal_zone8/type": "tj-thermal",
    "sys/class/thermal/thermal_zone8/temp": "52125",
    "sys/class/thermal/cooling_device0/type": "pwm-fan",
    "sys/class/thermal/cooling_device0/cur_state": "3",
    "sys/class/thermal/cooling_device1/type": "gpu-throttle-alert",
    "sys/class/thermal/cooling_device1/cur_state": "0",
    f"{INA}/name": "ina3221",
    f"{INA}/in1_label": "VDD_IN",
    f"{INA}/in1_input": "4984",
    f"{INA}/curr1_input": "1500",
    f"{INA}/curr1_max_alarm": "0",
    f"{INA}/in2_label": "VDD_CPU_GPU_CV",
    f"{INA}/in2_input": "4992",
    f"{INA}/curr2_input": "500",
    f"{INA}/in3_label": "NC",
    f"{INA}/in3_input": "4992",
    f"{INA}/curr3_input": "0",
    f"{INA}/in7_label": "sum of shunt voltages",
    f"{INA}/in7_input": "8",
    "sys/class/hwmon/hwmon5/name": "soctherm_oc",
    "sys/class/hwmon/hwmon5/oc1_event_cnt": "1",
    "sys/class/hwmon/hwmon5/oc3_event_cnt": "4",
    "var/lib/nvpmodel/status": "pmode:0002 fmode:quiet",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=2 NAME=15W >\n",
}
NANO = {  # JetPack 4: other names everywhere
    "proc/meminfo": MEMORY,
    "sys/class/devfreq/57000000.gpu/cur_freq": "76800000",
    "sys/devices/gpu.0/load": "37",
    "sys/class/thermal/thermal_zone2/type": "GPU-therm",
    "sys/class/thermal/thermal_zone2/temp": "31500",
    "sys/class/thermal/thermal_zone4/type": "PMIC-Die",
    "sys/class/thermal/thermal_zone4/temp": "100000",
    "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/rail_name_0": "POM_5V_IN",
    "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/in_power0_input": "2170",
    "var/lib/nvpmodel/status": "pmode:0000",
}
THOR = {  # JetPack 7: the kernel's files tell no load
    "proc/meminfo": MEMORY,
    "sys/class/devfreq/gpu-gpc-0/cur_freq": "1575000000",
    "sys/class/thermal/thermal_zone0/type": "tj-thermal",
    "sys/class/thermal/thermal_zone0/temp": "44000",
}


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


def test_an_orin_with_jetpack_6(tmp_path: Path) -> None:
    found = read_sensors(machine(tmp_path, ORIN))
    assert found.zones == {"cpu-thermal": 51.25, "gpu-thermal": 49.5, "tj-thermal": 52.125}
    assert found.hottest_celsius == 52.125
    assert found.rails == {"VDD_IN": pytest.approx(7.476), "VDD_CPU_GPU_CV": pytest.approx(2.496)}
    assert (found.throttled, found.throttle_events, found.power_mode) == (False, 5, "15W")
    assert found.gpu == GpuFigures(0.421, 49.5, 6000 * 1024, 8000 * 1024, 306e6)


def test_a_nano_with_jetpack_4(tmp_path: Path) -> None:
    found = read_sensors(machine(tmp_path, NANO))
    assert found.zones == {"GPU-therm": 31.5}, "PMIC-Die says 100 on every board"
    assert found.rails == {"POM_5V_IN": 2.17}
    assert (found.throttled, found.throttle_events, found.power_mode) == (None, None, "0")
    assert found.gpu == GpuFigures(0.037, 31.5, 6000 * 1024, 8000 * 1024, 76.8e6)


def test_a_thor_with_jetpack_7_gets_from_its_library_what_the_kernel_does_not_tell(tmp_path: Path) -> None:
    root = machine(tmp_path, THOR)
    assert read_sensors(root).gpu == GpuFigures(None, None, 6000 * 1024, 8000 * 1024, 1575e6)
    card = GpuFigures(0.5, None, None, None, 1.0)
    assert Sensors(root, card=lambda: card).look().gpu == GpuFigures(
        0.5, None, 6000 * 1024, 8000 * 1024, 1575e6
    )


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    assert read_sensors(tmp_path) == UNKNOWN == Readings()
    assert UNKNOWN.hottest_celsius is None
    assert Sensors(tmp_path, card=lambda: pytest.fail("DCGM shows the GPUs of servers")).look().gpu is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (f"{INA}/curr1_max_alarm", "1"),
        (f"{INA}/curr2_crit_alarm", "1"),
        ("sys/class/thermal/cooling_device1/cur_state", "2"),
    ],
)
def test_an_alarm_of_current_and_a_brake_are_throttling_but_a_fan_is_not(
    tmp_path: Path, name: str, text: str
) -> None:
    assert read_sensors(machine(tmp_path, ORIN)).throttled is False
    assert read_sensors(machine(tmp_path, {name: text})).throttled is True


@pytest.mark.parametrize("gone", ["curr1_input", "in1_input", "in1_label"])
@pytest.mark.parametrize("text", [None, "", "not a number"])
def test_a_rail_that_is_not_wholly_told_is_left_out(tmp_path: Path, gone: str, text: str | None) -> None:
    root = machine(tmp_path, ORIN)
    if text is None or gone == "in1_label":
        (root / INA / gone).unlink()
    else:
        (root / INA / gone).write_text(text)
    assert list(read_sensors(root).rails) == ["VDD_CPU_GPU_CV"]


def test_a_counted_event_is_throttling_for_a_while(tmp_path: Path) -> None:
    sensors = Sensors(machine(tmp_path, ORIN))
    assert sensors.look(0.0).throttled is False, "events before the first look are old"
    machine(tmp_path, {"sys/class/hwmon/hwmon5/oc3_event_cnt": "5"})
    assert sensors.look(1.0).throttled is True
    assert sensors.look(THROTTLE_SECONDS).throttled is True
    assert sensors.look(THROTTLE_SECONDS + 1).throttled is False


def test_a_thread_keeps_looking_also_after_a_surprise(tmp_path: Path) -> None:
    looks, seen = [], threading.Event()

    def card() -> GpuFigures:
        looks.append(threading.current_thread().name)
        if len(looks) == 1:
            raise RuntimeError("the driver was unloaded")
        seen.set()
        return GpuFigures(0.5, 40.0 + len(looks), None, None)

    sensors = Sensors(machine(tmp_path, THOR), 0.001, card)
    assert sensors.latest == UNKNOWN
    sensors.start()
    assert seen.wait(30)
    sensors.stop()
    assert set(looks) == {"sensors"}
    gpu = sensors.latest.gpu
    assert gpu is not None
    assert gpu.temperature == 40.0 + len(looks)


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [("32.7.4", "4.6"), ("35.4.1", "5.1"), ("36.3.0", "6.0"), ("36.4.0", "6.1"), ("36.4.3", "6.2"), ("", "")],
)
def test_linux_for_tegra_names_its_jetpack(l4t: str, jetpack: str) -> None:
    assert jetpack_of(l4t) == jetpack
