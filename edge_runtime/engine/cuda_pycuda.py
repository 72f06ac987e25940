"""CUDA through pycuda: what JetPack's own examples use, and the first choice of `cuda.open_cuda` where it is installed.

pycuda gives objects that free what they stand for when they die; this keeps them by their numbers. It has no graphs
(pycuda 2026.1), so those come from the driver's library, which takes the same streams.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import pycuda.driver

from edge_runtime.engine import cuda
from edge_runtime.engine.base import Array
from edge_runtime.engine.cuda import CudaError, GpuFacts, HostMemory
from edge_runtime.engine.cuda_library import Library, LibraryGraphs

LOST_PHRASES: Final = (
    "illegal memory access",
    "unspecified launch failure",
    "launch timed out",
    "device-side assert",
    "illegal instruction",
    "misaligned address",
    "invalid program counter",
    "hardware stack error",
    "uncorrectable ECC error",
)
"""What the driver says of results after which a context is of no more use; pycuda does not give their numbers."""
LAUNCH_FAILED, UNKNOWN = 719, 1


class PycudaCuda(LibraryGraphs):
    """`Cuda` over pycuda."""

    door: Literal["pycuda", "cuda-python", "libcuda"] = "pycuda"

    def __init__(self) -> None:
        """Start the driver and read what the first device is.

        Raises:
            CudaError: the driver refuses.
        """
        super().__init__(Library())
        self._driver = pycuda.driver
        try:
            self._driver.init()
            device = self._driver.Device(0)
            named = self._driver.device_attribute
            self.facts = GpuFacts(
                name=device.name(),
                capability=device.compute_capability(),
                driver=self._driver.get_driver_version(),
                integrated=bool(device.get_attribute(named.INTEGRATED)),
                maps_host=bool(device.get_attribute(named.CAN_MAP_HOST_MEMORY)),
                memory_bytes=device.total_memory(),
            )
        except self._driver.Error as exc:
            raise _refused(exc) from exc
        self._device = device
        self._context: object = None
        self._kept: dict[int, object] = {}

    def enter(self) -> None:
        """See `Cuda`."""
        context = self._device.retain_primary_context()
        context.push()
        self._context = context

    def leave(self) -> None:
        """See `Cuda`."""
        self._kept.clear()
        self._driver.Context.pop()
        self._context.detach()  # type: ignore[attr-defined]

    def free_memory(self) -> int:
        """See `Cuda`."""
        free, _ = self._driver.mem_get_info()
        return int(free)

    def allocate(self, size: int) -> int:
        """See `Cuda`."""
        try:
            memory = self._driver.mem_alloc(size)
        except self._driver.Error as exc:
            raise _refused(exc) from exc
        self._kept[int(memory)] = memory
        return int(memory)

    def release(self, address: int) -> None:
        """See `Cuda`."""
        memory = self._kept.pop(address)
        memory.free()  # type: ignore[attr-defined]

    def host(self, size: int, *, mapped: bool) -> HostMemory:
        """See `Cuda`."""
        flags = self._driver.host_alloc_flags.DEVICEMAP if mapped else 0
        try:
            array = self._driver.pagelocked_empty(size, np.uint8, mem_flags=flags)
        except self._driver.Error as exc:
            raise _refused(exc) from exc
        return HostMemory(array, int(array.base.get_device_pointer()) if mapped else 0, array.base)

    def release_host(self, memory: HostMemory) -> None:
        """See `Cuda`."""
        memory.keep.free()  # type: ignore[attr-defined]

    def stream(self) -> int:
        """See `Cuda`."""
        made = self._driver.Stream(cuda.NON_BLOCKING)
        self._kept[int(made.handle)] = made
        return int(made.handle)

    def end_stream(self, stream: int) -> None:
        """See `Cuda`."""
        del self._kept[stream]

    def to_device(self, address: int, source: Array, stream: int) -> None:
        """See `Cuda`."""
        try:
            self._driver.memcpy_htod_async(address, source, self._kept[stream])
        except self._driver.Error as exc:
            raise _refused(exc) from exc

    def to_host(self, target: Array, address: int, stream: int) -> None:
        """See `Cuda`."""
        try:
            self._driver.memcpy_dtoh_async(target, address, self._kept[stream])
        except self._driver.Error as exc:
            raise _refused(exc) from exc

    def event(self) -> int:
        """See `Cuda`."""
        made = self._driver.Event(cuda.BLOCKING_SYNC | cuda.DISABLE_TIMING)
        self._kept[id(made)] = made  # pycuda does not tell an event's handle
        return id(made)

    def record(self, event: int, stream: int) -> None:
        """See `Cuda`."""
        self._kept[event].record(self._kept[stream])  # type: ignore[attr-defined]

    def wait(self, event: int) -> None:
        """See `Cuda`."""
        try:
            self._kept[event].synchronize()  # type: ignore[attr-defined]
        except self._driver.Error as exc:
            raise _refused(exc) from exc

    def end_event(self, event: int) -> None:
        """See `Cuda`."""
        del self._kept[event]


def _refused(exc: Exception) -> CudaError:
    """Make our error of pycuda's, which is a text such as `cuEventSynchronize failed: unspecified launch failure`."""
    call, _, text = str(exc).partition(" failed: ")
    lost = any(phrase in text for phrase in LOST_PHRASES)
    return CudaError(call or "pycuda", LAUNCH_FAILED if lost else UNKNOWN, text or str(exc))
