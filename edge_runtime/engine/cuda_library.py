"""CUDA through the driver's own library and ctypes: the door that is always there, and graphs for pycuda.

`cuda.open_cuda` takes it where neither pycuda nor cuda-python is installed. Signatures: cuda.h of CUDA 11.4 and later;
names with _v2 are those that the macros of that header stand for.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Final, Literal

import numpy as np

from edge_runtime.engine import cuda
from edge_runtime.engine.base import Array
from edge_runtime.engine.cuda import CudaError, GpuFacts, HostMemory
from toolkit.errors import EngineError

SIGNATURES: Final[dict[str, tuple[type, ...]]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDeviceTotalMem_v2": (POINTER(c_size_t), c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxPushCurrent_v2": (c_void_p,),
    "cuCtxPopCurrent_v2": (POINTER(c_void_p),),
    "cuMemGetInfo_v2": (POINTER(c_size_t), POINTER(c_size_t)),
    "cuMemAlloc_v2": (POINTER(c_uint64), c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemHostAlloc": (POINTER(c_void_p), c_size_t, c_uint),
    "cuMemFreeHost": (c_void_p,),
    "cuMemHostGetDevicePointer_v2": (POINTER(c_uint64), c_void_p, c_uint),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_uint64, c_size_t, c_void_p),
    "cuStreamCreate": (POINTER(c_void_p), c_uint),
    "cuStreamDestroy_v2": (c_void_p,),
    "cuEventCreate": (POINTER(c_void_p), c_uint),
    "cuEventRecord": (c_void_p, c_void_p),
    "cuEventSynchronize": (c_void_p,),
    "cuEventDestroy_v2": (c_void_p,),
    "cuStreamBeginCapture_v2": (c_void_p, c_int),
    "cuStreamEndCapture": (c_void_p, POINTER(c_void_p)),
    "cuGraphInstantiateWithFlags": (POINTER(c_void_p), c_void_p, c_uint64),
    "cuGraphLaunch": (c_void_p, c_void_p),
    "cuGraphExecDestroy": (c_void_p,),
    "cuGraphDestroy": (c_void_p,),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
}
NAME_BYTES: Final = 256


class Library:
    """The driver's functions with their types; a result that is not 0 becomes a CudaError."""

    def __init__(self, name: str = cuda.LIBRARY) -> None:
        """Load it.

        Raises:
            EngineError: it is not there, or too old.
        """
        try:
            self._library = ctypes.CDLL(name)
            for function, types in SIGNATURES.items():
                getattr(self._library, function).argtypes = types
        except (OSError, AttributeError) as exc:
            raise EngineError(
                f"the CUDA driver cannot be used: {exc}", hint="CUDA 11.4 is the oldest that works"
            ) from exc

    def call(self, function: str, *arguments: object) -> None:
        """Call a function of the driver; Python's lock is free meanwhile.

        Raises:
            CudaError: it refused.
        """
        code = getattr(self._library, function)(*arguments)
        if code:
            text = c_char_p()
            self._library.cuGetErrorString(code, byref(text))
            raise CudaError(function, code, (text.value or b"unknown").decode("ascii", "replace"))

    def make(self, function: str, *arguments: object) -> int:
        """Call a function whose first argument takes a handle, and give that.

        Raises:
            CudaError: it refused.
        """
        handle = c_void_p()
        self.call(function, byref(handle), *arguments)
        return handle.value or 0


class LibraryGraphs:
    """Graphs, for the doors that have none of their own."""

    def __init__(self, library: Library) -> None:
        """Use this library."""
        self._library = library

    def begin_capture(self, stream: int) -> None:
        """See `Cuda`."""
        self._library.call("cuStreamBeginCapture_v2", stream, cuda.CAPTURE_THREAD_LOCAL)

    def end_capture(self, stream: int) -> int:
        """See `Cuda`."""
        graph = c_void_p()
        self._library.call("cuStreamEndCapture", stream, byref(graph))
        try:
            return self._library.make("cuGraphInstantiateWithFlags", graph, 0)
        finally:
            self._library.call("cuGraphDestroy", graph)

    def launch(self, graph: int, stream: int) -> None:
        """See `Cuda`."""
        self._library.call("cuGraphLaunch", graph, stream)

    def end_graph(self, graph: int) -> None:
        """See `Cuda`."""
        self._library.call("cuGraphExecDestroy", graph)


class LibraryCuda(LibraryGraphs):
    """`Cuda` over the driver's library."""

    door: Literal["pycuda", "cuda-python", "libcuda"] = "libcuda"

    def __init__(self, name: str = cuda.LIBRARY) -> None:
        """Start the driver and read what the first device is.

        Raises:
            EngineError: the library is not there.
            CudaError: the driver refuses.
        """
        library = Library(name)
        super().__init__(library)
        library.call("cuInit", 0)
        device, driver = c_int(), c_int()
        library.call("cuDeviceGet", byref(device), 0)
        library.call("cuDriverGetVersion", byref(driver))
        said = ctypes.create_string_buffer(NAME_BYTES)
        library.call("cuDeviceGetName", said, NAME_BYTES, device)
        total = c_size_t()
        library.call("cuDeviceTotalMem_v2", byref(total), device)
        self._device = device.value

        self.facts = GpuFacts(
            name=said.value.decode("utf-8", "replace"),
            capability=(self._attribute(cuda.CAPABILITY_MAJOR), self._attribute(cuda.CAPABILITY_MINOR)),
            driver=driver.value,
            integrated=bool(self._attribute(cuda.INTEGRATED)),
            maps_host=bool(self._attribute(cuda.CAN_MAP_HOST)),
            memory_bytes=total.value,
        )

    def _attribute(self, number: int) -> int:
        value = c_int()
        self._library.call("cuDeviceGetAttribute", byref(value), number, self._device)
        return value.value

    def enter(self) -> None:
        """See `Cuda`."""
        context = self._library.make("cuDevicePrimaryCtxRetain", self._device)
        self._library.call("cuCtxPushCurrent_v2", context)

    def leave(self) -> None:
        """See `Cuda`."""
        self._library.make("cuCtxPopCurrent_v2")
        self._library.call("cuDevicePrimaryCtxRelease_v2", self._device)

    def free_memory(self) -> int:
        """See `Cuda`."""
        free, total = c_size_t(), c_size_t()
        self._library.call("cuMemGetInfo_v2", byref(free), byref(total))
        return free.value

    def allocate(self, size: int) -> int:
        """See `Cuda`."""
        address = c_uint64()
        self._library.call("cuMemAlloc_v2", byref(address), size)
        return address.value

    def release(self, address: int) -> None:
        """See `Cuda`."""
        self._library.call("cuMemFree_v2", address)

    def host(self, size: int, *, mapped: bool) -> HostMemory:
        """See `Cuda`."""
        start = self._library.make("cuMemHostAlloc", size, cuda.HOST_MAPPED if mapped else 0)
        address = c_uint64()
        if mapped:
            self._library.call("cuMemHostGetDevicePointer_v2", byref(address), start, 0)
        array = np.frombuffer(memoryview((ctypes.c_uint8 * size).from_address(start)), np.uint8)
        return HostMemory(array, address.value, start)

    def release_host(self, memory: HostMemory) -> None:
        """See `Cuda`."""
        self._library.call("cuMemFreeHost", memory.keep)

    def stream(self) -> int:
        """See `Cuda`."""
        return self._library.make("cuStreamCreate", cuda.NON_BLOCKING)

    def end_stream(self, stream: int) -> None:
        """See `Cuda`."""
        self._library.call("cuStreamDestroy_v2", stream)

    def to_device(self, address: int, source: Array, stream: int) -> None:
        """See `Cuda`."""
        self._library.call("cuMemcpyHtoDAsync_v2", address, source.ctypes.data, source.nbytes, stream)

    def to_host(self, target: Array, address: int, stream: int) -> None:
        """See `Cuda`."""
        self._library.call("cuMemcpyDtoHAsync_v2", target.ctypes.data, address, target.nbytes, stream)

    def event(self) -> int:
        """See `Cuda`."""
        return self._library.make("cuEventCreate", cuda.BLOCKING_SYNC | cuda.DISABLE_TIMING)

    def record(self, event: int, stream: int) -> None:
        """See `Cuda`."""
        self._library.call("cuEventRecord", event, stream)

    def wait(self, event: int) -> None:
        """See `Cuda`."""
        self._library.call("cuEventSynchronize", event)

    def end_event(self, event: int) -> None:
        """See `Cuda`."""
        self._library.call("cuEventDestroy_v2", event)
