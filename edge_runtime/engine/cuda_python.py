"""CUDA through NVIDIA's cuda-python: the door of `cuda.open_cuda` where pycuda is not installed.

Its functions give a tuple that begins with the result; `_call` takes that off. Its major version must be the driver's
(12 on JetPack 6, 13 on JetPack 7).
"""

from __future__ import annotations

import ctypes
from typing import Literal, TypeVar

import numpy as np
from cuda.bindings import driver

from edge_runtime.engine import cuda
from edge_runtime.engine.base import Array
from edge_runtime.engine.cuda import CudaError, GpuFacts, HostMemory
from toolkit.errors import EngineError

T = TypeVar("T")
NAME_BYTES = 256


class CudaPython:
    """`Cuda` over cuda-python."""

    door: Literal["pycuda", "cuda-python", "libcuda"] = "cuda-python"

    def __init__(self) -> None:
        """Start the driver and read what the first device is.

        Raises:
            EngineError: the driver's library cannot be loaded.
            CudaError: the driver refuses.
        """
        try:
            _done(driver.cuInit(0))
        except RuntimeError as exc:  # DynamicLibNotFoundError among others
            raise EngineError(
                f"cuda-python cannot load the CUDA driver: {exc}",
                hint="install the cuda-python of the driver's major version",
            ) from exc
        self._device = _first(driver.cuDeviceGet(0), driver.CUdevice)
        said = _first(driver.cuDeviceGetName(NAME_BYTES, self._device), bytes)
        named = driver.CUdevice_attribute
        self.facts = GpuFacts(
            name=said.partition(b"\0")[0].decode("utf-8", "replace"),
            capability=(
                self._attribute(named.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
                self._attribute(named.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
            ),
            driver=_first(driver.cuDriverGetVersion(), int),
            integrated=bool(self._attribute(named.CU_DEVICE_ATTRIBUTE_INTEGRATED)),
            maps_host=bool(self._attribute(named.CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY)),
            memory_bytes=_first(driver.cuDeviceTotalMem(self._device), int),
        )

    def _attribute(self, number: object) -> int:
        return _first(driver.cuDeviceGetAttribute(number, self._device), int)

    def enter(self) -> None:
        """See `Cuda`."""
        context = _first(driver.cuDevicePrimaryCtxRetain(self._device), driver.CUcontext)
        _done(driver.cuCtxPushCurrent(context))

    def leave(self) -> None:
        """See `Cuda`."""
        _first(driver.cuCtxPopCurrent(), driver.CUcontext)
        _done(driver.cuDevicePrimaryCtxRelease(self._device))

    def free_memory(self) -> int:
        """See `Cuda`."""
        return _first(driver.cuMemGetInfo(), int)

    def allocate(self, size: int) -> int:
        """See `Cuda`."""
        return int(_first(driver.cuMemAlloc(size), driver.CUdeviceptr))

    def release(self, address: int) -> None:
        """See `Cuda`."""
        _done(driver.cuMemFree(address))

    def host(self, size: int, *, mapped: bool) -> HostMemory:
        """See `Cuda`."""
        start = _first(driver.cuMemHostAlloc(size, cuda.HOST_MAPPED if mapped else 0), int)
        address = int(_first(driver.cuMemHostGetDevicePointer(start, 0), driver.CUdeviceptr)) if mapped else 0
        array = np.frombuffer(memoryview((ctypes.c_uint8 * size).from_address(start)), np.uint8)
        return HostMemory(array, address, start)

    def release_host(self, memory: HostMemory) -> None:
        """See `Cuda`."""
        _done(driver.cuMemFreeHost(memory.keep))

    def stream(self) -> int:
        """See `Cuda`."""
        return int(_first(driver.cuStreamCreate(cuda.NON_BLOCKING), driver.CUstream))

    def end_stream(self, stream: int) -> None:
        """See `Cuda`."""
        _done(driver.cuStreamDestroy(stream))

    def to_device(self, address: int, source: Array, stream: int) -> None:
        """See `Cuda`."""
        _done(driver.cuMemcpyHtoDAsync(address, source.ctypes.data, source.nbytes, stream))

    def to_host(self, target: Array, address: int, stream: int) -> None:
        """See `Cuda`."""
        _done(driver.cuMemcpyDtoHAsync(target.ctypes.data, address, target.nbytes, stream))

    def event(self) -> int:
        """See `Cuda`."""
        flags = cuda.BLOCKING_SYNC | cuda.DISABLE_TIMING
        return int(_first(driver.cuEventCreate(flags), driver.CUevent))

    def record(self, event: int, stream: int) -> None:
        """See `Cuda`."""
        _done(driver.cuEventRecord(event, stream))

    def wait(self, event: int) -> None:
        """See `Cuda`."""
        _done(driver.cuEventSynchronize(event))

    def end_event(self, event: int) -> None:
        """See `Cuda`."""
        _done(driver.cuEventDestroy(event))

    def begin_capture(self, stream: int) -> None:
        """See `Cuda`."""
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        _done(driver.cuStreamBeginCapture(stream, mode))

    def end_capture(self, stream: int) -> int:
        """See `Cuda`."""
        graph = _first(driver.cuStreamEndCapture(stream), driver.CUgraph)
        try:
            return int(_first(driver.cuGraphInstantiate(graph, 0), driver.CUgraphExec))
        finally:
            _done(driver.cuGraphDestroy(graph))

    def launch(self, graph: int, stream: int) -> None:
        """See `Cuda`."""
        _done(driver.cuGraphLaunch(graph, stream))

    def end_graph(self, graph: int) -> None:
        """See `Cuda`."""
        _done(driver.cuGraphExecDestroy(graph))


def _done(given: tuple[object, ...]) -> None:
    code = int(given[0])  # type: ignore[call-overload]
    if code:
        _, text = driver.cuGetErrorString(given[0])
        raise CudaError("a call of the driver", code, (text or b"unknown").decode("ascii", "replace"))


def _first(given: tuple[object, ...], kind: type[T]) -> T:
    """Give the first value behind the result. `kind` is what cuda-python says that it is."""
    _done(given)
    del kind
    return given[1]  # type: ignore[return-value]
