"""What a Jetson's GPU is doing, read from files of its kernel: load, temperature, shared memory, throttling.

DCGM does not know these GPUs; `metrics` shows the figures under names of ours and the recording rules give both the
same name. Every figure may be missing, then it is not shown. Where the files are: NVIDIA, "Jetson Linux Developer
Guide", Platform Power and Performance (devfreq, thermal zones; over-current counters since JetPack 5.1.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_runtime.facts import memory_bytes

_ROOT: Final = Path("/")
_GPU_NAMES: Final = ("gpu", "ga10b", "gv11b", "gp10b", "gm20b")
"""Endings of the devfreq folder of a Jetson's GPU: JetPack 6 says gpu, older ones the chip."""


@dataclass(frozen=True)
class GpuFigures:
    """Figures of the one GPU; None where the machine does not tell."""

    utilization: float | None
    """Share of time that it worked, 0 to 1."""
    temperature: float | None
    """Degrees Celsius."""
    memory_used: int
    """Bytes in use of the memory that it shares with the processor."""
    memory_total: int
    throttle_events: int | None
    """Times since the start of the machine that too much current slowed it down."""


def read_gpu(root: Path = _ROOT) -> GpuFigures | None:
    """Read the GPU's figures; None on a machine that is no Jetson. `root` is where its /sys and /proc lie."""
    folder = _devfreq(root)
    if folder is None:
        return None
    load = _number(folder / "device/load")
    total = memory_bytes(root, "MemTotal")
    return GpuFigures(
        utilization=None if load is None else min(load / 1000, 1.0),
        temperature=_temperature(root),
        memory_used=max(total - memory_bytes(root, "MemAvailable"), 0),
        memory_total=total,
        throttle_events=_throttle_events(root),
    )


def _devfreq(root: Path) -> Path | None:
    for folder in sorted((root / "sys/class/devfreq").glob("*.*")):
        if folder.name.rpartition(".")[2] in _GPU_NAMES:
            return folder
    return None


def _temperature(root: Path) -> float | None:
    """Find the zone of the GPU: `gpu-thermal` on JetPack 6, `GPU-therm` before; the kernel counts thousandths."""
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        if _text(zone / "type").lower().startswith("gpu"):
            value = _number(zone / "temp")
            return None if value is None else value / 1000
    return None


def _throttle_events(root: Path) -> int | None:
    counts = [_number(file) for file in (root / "sys/class/hwmon").glob("hwmon*/oc*_event_cnt")]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _number(file: Path) -> int | None:
    try:
        return int(_text(file))
    except ValueError:
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # a sensor that is switched off answers with an error
        return ""
