"""Figures of a Jetson's GPU from NVIDIA's library, where the kernel keeps none: JetPack 7 and newer.

`sensors` asks it for what its files do not tell. The package nvidia-ml-py is optional (it comes with the extra
`jetson`) and loaded when it is asked for; a figure that this GPU or driver does not support is missing, as many are on
Thor. Names: NVIDIA, NVML API reference. The library does not survive a fork, and this daemon does not fork.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Final, Protocol, TypeVar, cast

from edge_runtime.jetson import GpuFigures

log = logging.getLogger(__name__)
T = TypeVar("T")
TEMPERATURE_GPU: Final = 0
"""NVML_TEMPERATURE_GPU: the sensor of the chip itself."""
CLOCK_GRAPHICS: Final = 0
"""NVML_CLOCK_GRAPHICS."""


class Utilization(Protocol):
    """nvmlUtilization_t."""

    gpu: int
    """Per cent of the last moments."""


class MemoryInfo(Protocol):
    """nvmlMemory_t, in bytes."""

    used: int
    total: int


class Nvml(Protocol):
    """What is used of the module pynvml."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None:  # noqa: N802 -- NVIDIA's names
        """Load the driver's library."""
        ...

    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> object:  # noqa: N802
        """Give a GPU."""
        ...

    def nvmlDeviceGetUtilizationRates(self, handle: object, /) -> Utilization:  # noqa: N802
        """Say how busy it was."""
        ...

    def nvmlDeviceGetTemperature(self, handle: object, sensor: int, /) -> int:  # noqa: N802
        """Give degrees Celsius."""
        ...

    def nvmlDeviceGetClockInfo(self, handle: object, kind: int, /) -> int:  # noqa: N802
        """Give MHz."""
        ...

    def nvmlDeviceGetMemoryInfo(self, handle: object, /) -> MemoryInfo:  # noqa: N802
        """Say how its memory is used."""
        ...


class Card:
    """The first GPU of this machine, as NVML sees it. For one thread."""

    def __init__(self, load: Callable[[], Nvml | None]) -> None:
        """Prepare; the library is loaded by the first question."""
        self._load = load
        self._library: Nvml | None = None
        self._handle: object = None
        self._tried = False

    def __call__(self) -> GpuFigures | None:
        """Read its figures; None where there is no library, no driver or no GPU."""
        if not self._tried:
            self._tried = True
            self._open()
        library, handle = self._library, self._handle
        if library is None:
            return None
        busy = self._ask(lambda: library.nvmlDeviceGetUtilizationRates(handle))
        heat = self._ask(lambda: library.nvmlDeviceGetTemperature(handle, TEMPERATURE_GPU))
        megahertz = self._ask(lambda: library.nvmlDeviceGetClockInfo(handle, CLOCK_GRAPHICS))
        memory = self._ask(lambda: library.nvmlDeviceGetMemoryInfo(handle))
        return GpuFigures(
            utilization=None if busy is None else min(busy.gpu / 100, 1.0),
            temperature=None if heat is None else float(heat),
            memory_used=None if memory is None else memory.used,
            memory_total=None if memory is None else memory.total,
            hertz=None if megahertz is None else megahertz * 1e6,
        )

    def _open(self) -> None:
        library = self._load()
        if library is None:
            return
        try:
            library.nvmlInit()
            self._handle = library.nvmlDeviceGetHandleByIndex(0)
        except library.NVMLError as error:
            log.info("NVML tells nothing of a GPU: %s", error)
        else:
            self._library = library

    def _ask(self, question: Callable[[], T]) -> T | None:
        try:
            return question()
        except Exception as error:  # noqa: BLE001 -- see below
            # NVMLError where it is not supported; a driver that was unloaded meanwhile says other things.
            log.debug("NVML does not tell: %s", error)
            return None


def load_pynvml() -> Nvml | None:
    """Load the package's module; None where it is not installed."""
    try:
        return cast("Nvml", import_module("pynvml"))
    except ImportError:
        log.info("this GPU's load takes nvidia-ml-py: pip install 'tiers[jetson]'")
        return None
