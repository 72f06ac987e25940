"""CUDA's streams and memory in Python, as lazy as the real ones: what is put into a stream happens when somebody waits.

So an engine that reads an output before its event, reuses a buffer that is still being copied, or calls from another
thread than the one that entered the context, gives wrong numbers or an error here, as it would on a GPU. Addresses are
real ones, so the fake TensorRT can read and write them.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Callable

import numpy as np

from edge_runtime.engine.cuda import CudaError, GpuFacts, HostMemory

DISCRETE = GpuFacts(
    name="Fake GPU", capability=(8, 6), driver=12060, integrated=False, maps_host=True, memory_bytes=1 << 30
)
ORIN = GpuFacts(
    name="Fake Orin", capability=(8, 7), driver=12060, integrated=True, maps_host=True, memory_bytes=1 << 30
)
NANO = GpuFacts(
    name="Fake Nano", capability=(5, 3), driver=10020, integrated=True, maps_host=True, memory_bytes=1 << 30
)


def at(address: int, size: int) -> np.ndarray:
    """Look at memory."""
    return np.frombuffer(memoryview((ctypes.c_uint8 * size).from_address(address)), np.uint8)


class FakeCuda:
    """The driver. `journal` keeps what happened in the order in which it happened."""

    door = "libcuda"

    def __init__(self, facts: GpuFacts = DISCRETE) -> None:
        self.facts = facts
        self.thread: threading.Thread | None = None
        self.journal: list[tuple[str, int]] = []
        self.strays: list[str] = []
        """What was destroyed on a thread without the context."""
        self.in_flight: list[int] = []
        """Number of events that were not waited for, at each wait."""
        self.memory: dict[int, np.ndarray] = {}
        self.pinned: dict[int, np.ndarray] = {}
        self.streams: dict[int, list[Callable[[], None]]] = {}
        self.events: dict[int, tuple[int, int] | None] = {}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.capturing: dict[int, list[Callable[[], None]]] = {}
        self.done: dict[int, int] = {}
        self.limit = 1 << 40
        self.refuse_capture = self.fail_capture = False
        self.graph_launches = 0
        self._numbers = itertools.count(1000)

    # ---------------------------------------------------------- what the tests' rules need
    def check(self) -> None:
        assert self.thread is threading.current_thread(), "a call of CUDA on a thread without its context"

    def destroyed(self, what: str) -> None:
        """Take note of the end of an object that calls CUDA then."""
        if self.thread is not threading.current_thread():
            self.strays.append(what)

    def put(self, stream: int, what: str, work: Callable[[], None]) -> None:
        """Put work into a stream, or into the graph that is being captured from it."""
        self.check()

        def do() -> None:
            self.journal.append((what, stream))
            work()

        if stream in self.capturing:
            self.capturing[stream].append(do)
        else:
            self.streams[stream].append(do)

    @property
    def leaks(self) -> list[str]:
        """Name what was not given back."""
        left = {"memory": self.memory, "pinned": self.pinned, "streams": self.streams, "events": self.events}
        return [name for name, things in {**left, "graphs": self.graphs}.items() if things]

    # ---------------------------------------------------------- Cuda
    def enter(self) -> None:
        assert self.thread is None, "the context was pushed twice"
        self.thread = threading.current_thread()

    def leave(self) -> None:
        self.check()
        self.thread = None

    def free_memory(self) -> int:
        self.check()
        return self.limit - sum(len(each) for each in self.memory.values())

    def allocate(self, size: int) -> int:
        self.check()
        if size > self.free_memory():
            raise CudaError("cuMemAlloc_v2", 2, "out of memory")
        block = np.full(size + 256, 0xA5, np.uint8)
        address = -(-block.ctypes.data // 256) * 256
        self.memory[address] = block
        return address

    def release(self, address: int) -> None:
        self.check()
        del self.memory[address]

    def host(self, size: int, *, mapped: bool) -> HostMemory:
        self.check()
        block = np.full(size, 0xA5, np.uint8)
        self.pinned[block.ctypes.data] = block
        return HostMemory(block, block.ctypes.data if mapped else 0, block.ctypes.data)

    def release_host(self, memory: HostMemory) -> None:
        self.check()
        del self.pinned[memory.keep]

    def stream(self) -> int:
        self.check()
        number = next(self._numbers)
        self.streams[number] = []
        self.done[number] = 0
        return number

    def end_stream(self, stream: int) -> None:
        self.check()
        del self.streams[stream]

    def to_device(self, address: int, source: np.ndarray, stream: int) -> None:
        assert source.flags.c_contiguous

        def copy() -> None:
            at(address, source.nbytes)[:] = source.reshape(-1).view(np.uint8)

        self.put(stream, "in", copy)

    def to_host(self, target: np.ndarray, address: int, stream: int) -> None:
        assert target.flags.c_contiguous

        def copy() -> None:
            target.reshape(-1).view(np.uint8)[:] = at(address, target.nbytes)

        self.put(stream, "out", copy)

    def event(self) -> int:
        self.check()
        number = next(self._numbers)
        self.events[number] = None
        return number

    def record(self, event: int, stream: int) -> None:
        self.check()
        self.events[event] = (stream, self.done[stream] + len(self.streams[stream]))

    def wait(self, event: int) -> None:
        self.check()
        place = self.events[event]
        assert place is not None, "waited for an event that nobody recorded"
        self.in_flight.append(sum(1 for each in self.events.values() if each is not None))
        stream, until = place
        self.events[event] = None
        while self.done[stream] < until:
            self.done[stream] += 1
            self.streams[stream].pop(0)()

    def end_event(self, event: int) -> None:
        self.check()
        del self.events[event]

    def begin_capture(self, stream: int) -> None:
        self.check()
        if self.refuse_capture:
            raise CudaError("cuStreamBeginCapture_v2", 801, "operation not supported")
        self.capturing[stream] = []

    def end_capture(self, stream: int) -> int:
        self.check()
        work = self.capturing.pop(stream)
        if self.fail_capture:
            raise CudaError(
                "cuStreamEndCapture", 901, "operation failed due to a previous error during capture"
            )
        number = next(self._numbers)
        self.graphs[number] = work
        return number

    def launch(self, graph: int, stream: int) -> None:
        self.check()
        self.graph_launches += 1
        self.streams[stream].extend(self.graphs[graph])

    def end_graph(self, graph: int) -> None:
        self.check()
        del self.graphs[graph]
