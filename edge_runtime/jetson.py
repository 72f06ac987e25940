"""What a Jetson's GPU is doing, read from files of its kernel: load, clock, temperature, shared memory.

DCGM does not know these GPUs; `metrics` shows the figures under names of ours and the recording rules give both the
same name. Every figure may be missing, then it is not shown. `sensors` reads it beside the machine's other sensors.
Where the files are: NVIDIA, "Jetson Linux Developer Guide", Platform Power and Performance (devfreq, thermal zones).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_runtime.facts import memory_bytes
from edge_runtime.sysfs import number_of, text_of

_ROOT: Final = Path("/")
_GPU_NAMES: Final = ("gpu", "ga10b", "gv11b", "gp10b", "gm20b")
"""Ending of the devfreq folder of a Jetson's GPU, or the name of its node: JetPack 6 says gpu, older ones the chip."""
_THOR: Final = "gpu-gpc-"
"""Beginning of it on JetPack 7, whose driver keeps no load: that takes NVML."""
_LOADS: Final = (
    "sys/devices/gpu.0/load",
    "sys/devices/platform/gpu.0/load",
    "sys/devices/platform/17000000.gpu/load",
    "sys/devices/platform/bus@0/17000000.gpu/load",
    "sys/devices/57000000.gpu/load",
)
"""Where the load is when the devfreq folder does not lead to it: JetPack 4 and 5, 6 in two places, the Nano."""


@dataclass(frozen=True)
class GpuFigures:
    """Figures of the one GPU; None where the machine does not tell."""

    utilization: float | None
    """Share of time that it worked, 0 to 1."""
    temperature: float | None
    """Degrees Celsius."""
    memory_used: int | None
    """Bytes in use; of a Jetson, of the memory that it shares with the processor."""
    memory_total: int | None
    hertz: float | None = None
    """Its clock now."""


def read_gpu(root: Path = _ROOT) -> GpuFigures | None:
    """Read the GPU's figures; None on a machine that is no Jetson. `root` is where its /sys and /proc lie."""
    folder = _devfreq(root)
    load = _load(root, folder)
    if folder is None and load is None:
        return None
    total, free = memory_bytes(root, "MemTotal"), memory_bytes(root, "MemAvailable")
    hertz = None if folder is None else number_of(folder / "cur_freq")
    return GpuFigures(
        utilization=None if load is None else min(load / 1000, 1.0),
        temperature=_temperature(root),
        memory_used=max(total - free, 0) if total and free else None,
        memory_total=total or None,
        hertz=None if hertz is None else float(hertz),
    )


def _devfreq(root: Path) -> Path | None:
    for folder in sorted((root / "sys/class/devfreq").glob("*")):
        node = text_of(folder / "device/of_node/name")
        ending = folder.name.rpartition(".")[2]
        if ending in _GPU_NAMES or node in _GPU_NAMES or folder.name.startswith(_THOR):
            return folder
    return None


def _load(root: Path, folder: Path | None) -> int | None:
    """Give thousandths of the time that it worked."""
    places = [root / each for each in _LOADS]
    if folder is not None:
        places.insert(0, folder / "device/load")
    return next((load for load in map(number_of, places) if load is not None), None)


def _temperature(root: Path) -> float | None:
    """Find the zone of the GPU: `gpu-thermal` on JetPack 6, `GPU-therm` before; the kernel counts thousandths."""
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        if text_of(zone / "type").lower().startswith("gpu"):
            value = number_of(zone / "temp")
            return None if value is None or value < 0 else value / 1000
    return None
