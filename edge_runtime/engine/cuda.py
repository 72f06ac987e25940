"""The little of CUDA that an engine needs, as one protocol with three doors, and the question whether there is a GPU.

`find_gpu` asks the driver through ctypes alone and must come before anything of TensorRT. `open_cuda` takes pycuda
where it is installed, else cuda-python, else the driver's own library; all three give the same `Cuda`. Everything but
`find_gpu` belongs on the one thread that `gpu` makes: a CUDA context is a property of a thread.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final, Literal, Protocol

from edge_runtime.engine.base import Array
from toolkit.errors import EngineError

LIBRARY: Final = "libcuda.so.1"
COHERENT: Final = (7, 2)
"""Tegra chips from this compute capability on see the processor's caches (CUDA for Tegra, I/O coherency)."""
LOST: Final = frozenset({214, 219, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 999})
"""Results after which a context is of no more use (cuda.h, CUresult: "the process must be terminated")."""

# CUdevice_attribute, cuda.h.
INTEGRATED, CAN_MAP_HOST, CAPABILITY_MAJOR, CAPABILITY_MINOR = 18, 19, 75, 76
BLOCKING_SYNC, DISABLE_TIMING = 1, 2
"""CU_EVENT_*: who waits sleeps; nobody asks how long it took."""
NON_BLOCKING: Final = 1
"""CU_STREAM_NON_BLOCKING: does not wait for the default stream."""
HOST_MAPPED: Final = 2
"""CU_MEMHOSTALLOC_DEVICEMAP."""
CAPTURE_THREAD_LOCAL: Final = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do does not spoil a capture."""


class CudaError(EngineError):
    """The driver refused something."""

    def __init__(self, call: str, code: int, text: str) -> None:
        """Name the call, its result and what the driver says about it."""
        self.code = code
        hint = "end this process: its GPU context is lost" if self.lost else ""
        super().__init__(f"{call} failed with {code}: {text}", hint=hint)

    @property
    def lost(self) -> bool:
        """Whether this process cannot use the GPU any more."""
        return self.code in LOST


@dataclass(frozen=True)
class GpuFacts:
    """What the driver says of the GPU."""

    name: str
    capability: tuple[int, int]
    driver: int
    """CUDA version of the driver: 12060 is 12.6."""
    integrated: bool
    """It has no memory of its own."""
    maps_host: bool
    """It can use memory of the host in its place."""
    memory_bytes: int

    @property
    def zero_copy(self) -> bool:
        """Whether copies are a waste: the GPU works in the host's memory and sees the processor's caches."""
        return self.integrated and self.maps_host and self.capability >= COHERENT


@dataclass(frozen=True)
class HostMemory:
    """Pinned memory of the host."""

    array: Array
    """uint8, one axis."""
    device_address: int
    """Where the GPU sees it; 0 when it is not mapped."""
    keep: object = None
    """What must live as long."""


class Cuda(Protocol):
    """The driver, for the thread that called `enter`. Addresses, streams, events and graphs are the driver's numbers.

    Every method raises CudaError when the driver refuses.
    """

    door: Literal["pycuda", "cuda-python", "libcuda"]
    facts: GpuFacts

    def enter(self) -> None:
        """Make the device's primary context, which TensorRT and others share, this thread's."""
        ...

    def leave(self) -> None:
        """Undo `enter`."""
        ...

    def free_memory(self) -> int:
        """Give the bytes of device memory that are free."""
        ...

    def allocate(self, size: int) -> int:
        """Give device memory, aligned to 256 bytes."""
        ...

    def release(self, address: int) -> None:
        """Give it back."""
        ...

    def host(self, size: int, *, mapped: bool) -> HostMemory:
        """Give pinned memory."""
        ...

    def release_host(self, memory: HostMemory) -> None:
        """Give it back; nobody may hold its array."""
        ...

    def stream(self) -> int:
        """Make a stream."""
        ...

    def end_stream(self, stream: int) -> None:
        """End a stream."""
        ...

    def to_device(self, address: int, source: Array, stream: int) -> None:
        """Copy pinned memory to the device when the stream comes to it."""
        ...

    def to_host(self, target: Array, address: int, stream: int) -> None:
        """Copy to pinned memory when the stream comes to it."""
        ...

    def event(self) -> int:
        """Make an event on which a thread can sleep."""
        ...

    def record(self, event: int, stream: int) -> None:
        """Let the event happen when the stream comes to it."""
        ...

    def wait(self, event: int) -> None:
        """Sleep until it has happened; what failed in the stream before is raised here."""
        ...

    def end_event(self, event: int) -> None:
        """End an event."""
        ...

    def begin_capture(self, stream: int) -> None:
        """From here on write down what is put into the stream instead of doing it."""
        ...

    def end_capture(self, stream: int) -> int:
        """Make a graph of what was written down."""
        ...

    def launch(self, graph: int, stream: int) -> None:
        """Put all of a graph into a stream."""
        ...

    def end_graph(self, graph: int) -> None:
        """End a graph."""
        ...


def find_gpu(library: str = LIBRARY) -> str:
    """Say why this machine has no usable GPU; "" when it has one. Loads nothing but the driver's library."""
    try:
        driver = ctypes.CDLL(library)
        initialise, count_devices = driver.cuInit, driver.cuDeviceGetCount
    except (OSError, AttributeError):
        return f"the CUDA driver ({library}) is not on this machine"
    if code := initialise(0):
        return f"the CUDA driver cannot start (cuInit gave {code})"
    count = ctypes.c_int()
    if code := count_devices(ctypes.byref(count)):
        return f"the CUDA driver cannot count its devices (cuDeviceGetCount gave {code})"
    return "" if count.value else "the CUDA driver has no device"


def open_cuda(door: Literal["auto", "pycuda", "cuda-python", "libcuda"] = "auto") -> Cuda:
    """Open the first GPU. Call it on the thread that will use it.

    Raises:
        EngineError: this door is not installed.
        CudaError: the driver refuses.
    """
    doors: dict[str, tuple[str, Callable[[], Cuda]]] = {
        "pycuda": ("pycuda", _pycuda),
        "cuda-python": ("cuda.bindings", _cuda_python),
        "libcuda": ("ctypes", _libcuda),
    }
    for name, (package, make) in doors.items():
        if door == name and not _installed(package):
            raise EngineError(
                f"{name} is not installed", hint="leave the choice to tiers-edge: it has another way"
            )
        if door == name or (door == "auto" and _installed(package)):
            return make()
    raise EngineError(f"there is no door to CUDA that is called {door!r}")


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def _pycuda() -> Cuda:
    from edge_runtime.engine.cuda_pycuda import PycudaCuda

    return PycudaCuda()


def _cuda_python() -> Cuda:
    from edge_runtime.engine.cuda_python import CudaPython

    return CudaPython()


def _libcuda() -> Cuda:
    from edge_runtime.engine.cuda_library import LibraryCuda

    return LibraryCuda()
