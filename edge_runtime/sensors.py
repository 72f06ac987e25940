"""How hot the machine is, what it draws, and whether that slows it down: read from its kernel's files once a second.

`front` starts one `Sensors`; its thread reads, because a sensor on a slow bus takes milliseconds that the event loop
does not have, and `latest` gives what it found. `metrics` shows it, `serving.ladder` goes by the temperature and by
`throttled`. What a machine does not tell is None or missing, never 0. Paths of JetPack 4 to 7: NVIDIA, "Jetson Linux
Developer Guide", Platform Power and Performance; kernel.org, Documentation/hwmon/ina3221.rst and sysfs-interface.rst.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Final

from edge_runtime.jetson import GpuFigures, read_gpu
from edge_runtime.nvml import Card, load_pynvml
from edge_runtime.sysfs import number_of, text_of

log = logging.getLogger(__name__)
_ROOT: Final = Path("/")
LOOK_SECONDS: Final = 1.0
THROTTLE_SECONDS: Final = 10.0
"""How long a counted throttle event makes the machine one that is throttled: they come in bursts."""
_COLDEST, _HOTTEST = -55.0, 200.0
"""Degrees Celsius that silicon can have; a zone that is switched off says -256."""
_NO_SENSOR: Final = frozenset({"pmic-die", "thermal-fan-est"})
"""Zones that measure nothing: on JetPack 4 the first always says 100, the second is an estimate for the fan."""
_CHANNELS: Final = (1, 2, 3)
"""Of an INA3221; what the driver numbers higher is a sum of these."""
_UNUSED: Final = frozenset({"", "NC"})
"""Labels of a channel that is wired to nothing."""
_BRAKES: Final = ("throttle", "cpufreq", "devfreq", "balanced")
"""In the type of a cooling device that cools by slowing down; others are fans."""
_MODE: Final = re.compile(r"pmode:(\d+)")
_MODE_NAME: Final = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>")


@dataclass(frozen=True)
class Readings:
    """What the sensors said."""

    zones: Mapping[str, float] = field(default_factory=dict)
    """Degrees Celsius by thermal zone, in the kernel's names: cpu-thermal, tj-thermal."""
    rails: Mapping[str, float] = field(default_factory=dict)
    """Watts by power rail, in the board's names: VDD_IN, VDD_CPU_GPU_CV."""
    throttled: bool | None = None
    """Whether heat or current slows the machine down; None where it does not tell."""
    throttle_events: int | None = None
    """Times since the machine's start that too much current slowed it down."""
    power_mode: str = ""
    """Name of nvpmodel's mode, such as MAXN or 15W; its number where it has no name, empty where there is none."""
    gpu: GpuFigures | None = None

    @property
    def hottest_celsius(self) -> float | None:
        """The temperature of the hottest zone; None where none is known."""
        return max(self.zones.values(), default=None)


UNKNOWN: Final = Readings()
"""Of a machine that tells nothing."""


class Sensors:
    """Keeps the latest readings."""

    def __init__(
        self,
        root: Path = _ROOT,
        seconds: float = LOOK_SECONDS,
        card: Callable[[], GpuFigures | None] | None = None,
    ) -> None:
        """Prepare; nothing is read before `start` or `look`.

        Args:
            root: where the machine's /sys, /proc, /etc and /var lie.
            seconds: between two looks.
            card: figures of a Jetson's GPU whose load is not in the kernel's files; None asks NVML. Other machines are
                not asked: the GPUs of servers are shown by DCGM's exporter.
        """
        self._root = root
        self._seconds = seconds
        self._card = Card(load_pynvml) if card is None else card
        self._latest = UNKNOWN
        self._event_seen: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sensors", daemon=True)

    @property
    def latest(self) -> Readings:
        """What was found last; everything is unknown before the first look."""
        return self._latest

    def start(self) -> None:
        """Look from now on, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def look(self, now: float | None = None) -> Readings:
        """Read everything at once, in this thread; `now` is a moment of the monotonic clock."""
        moment = monotonic() if now is None else now
        found = read_sensors(self._root)
        if found.gpu is not None and found.gpu.utilization is None:
            found = replace(found, gpu=_together(found.gpu, self._card()))
        before = self._latest.throttle_events
        if found.throttle_events is not None and before is not None and found.throttle_events > before:
            self._event_seen = moment
        if self._event_seen is not None and moment - self._event_seen < THROTTLE_SECONDS:
            found = replace(found, throttled=True)
        self._latest = found
        return found

    def _watch(self) -> None:
        while True:
            try:
                self.look()
            except Exception:  # a sensor's surprise must not end the looking
                log.exception("reading the sensors failed")
            if self._ended.wait(self._seconds):
                return


def read_sensors(root: Path = _ROOT) -> Readings:
    """Read everything once."""
    gpu = read_gpu(root)
    events = _throttle_events(root)
    return Readings(
        zones=dict(_zones(root)),
        rails=dict(_rails(root)),
        throttled=_throttled(root, counts=events is not None),
        throttle_events=events,
        power_mode=power_mode(root),
        gpu=gpu,
    )


def power_mode(root: Path = _ROOT) -> str:
    """Give the name of nvpmodel's present mode; it is never set here, because some changes need a new start."""
    found = _MODE.search(text_of(root / "var/lib/nvpmodel/status"))
    if found is None:
        return ""
    number = int(found[1])
    names = _MODE_NAME.findall(text_of(root / "etc/nvpmodel.conf"))
    return next((name for each, name in names if int(each) == number), str(number))


def _zones(root: Path) -> Iterator[tuple[str, float]]:
    found: dict[str, float] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        name, value = text_of(zone / "type"), number_of(zone / "temp")
        if not name or value is None or name.lower() in _NO_SENSOR:
            continue
        celsius = value / 1000
        if _COLDEST < celsius < _HOTTEST:
            found[name] = max(celsius, found.get(name, celsius))
    yield from sorted(found.items())


def _rails(root: Path) -> Iterator[tuple[str, float]]:
    for folder in _monitors(root):
        for channel in _CHANNELS:
            label = text_of(folder / f"in{channel}_label")
            millivolts = number_of(folder / f"in{channel}_input")
            milliamperes = number_of(folder / f"curr{channel}_input")
            if label not in _UNUSED and millivolts is not None and milliamperes is not None:
                yield label, millivolts * milliamperes / 1e6
    for folder in sorted((root / "sys/bus/i2c/drivers/ina3221x").glob("*/iio:device*")):  # JetPack 4
        for channel in range(len(_CHANNELS)):
            label = text_of(folder / f"rail_name_{channel}")
            milliwatts = number_of(folder / f"in_power{channel}_input")
            if label not in _UNUSED and milliwatts is not None:
                yield label, milliwatts / 1000


def _monitors(root: Path) -> list[Path]:
    """Give the folders of the power monitors; the class lists those again that the driver lists."""
    driver = (root / "sys/bus/i2c/drivers/ina3221").glob("*/hwmon/hwmon*")
    listed = (root / "sys/class/hwmon").glob("hwmon*")
    ours = [each for each in listed if text_of(each / "name") == "ina3221"]
    return sorted({each.resolve() for each in (*driver, *ours)})


def _throttled(root: Path, *, counts: bool) -> bool | None:
    """Say whether an alarm of current is raised or a cooling device brakes; where only events are counted, not now."""
    alarms = [
        number_of(folder / f"curr{channel}_{kind}_alarm")
        for folder in _monitors(root)
        for channel in _CHANNELS
        for kind in ("max", "crit")
    ]
    brakes = [
        number_of(device / "cur_state")
        for device in (root / "sys/class/thermal").glob("cooling_device*")
        if any(word in text_of(device / "type").lower() for word in _BRAKES)
    ]
    known = [value > 0 for value in (*alarms, *brakes) if value is not None]
    return any(known) if known or counts else None


def _throttle_events(root: Path) -> int | None:
    counts = [number_of(file) for file in (root / "sys/class/hwmon").glob("hwmon*/oc*_event_cnt")]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _together(kernel: GpuFigures, card: GpuFigures | None) -> GpuFigures:
    """Fill what the kernel's files do not tell with what the card's library does."""
    if card is None:
        return kernel
    return replace(
        kernel,
        utilization=card.utilization,
        temperature=card.temperature if kernel.temperature is None else kernel.temperature,
        hertz=card.hertz if kernel.hertz is None else kernel.hertz,
    )
