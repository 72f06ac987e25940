"""One lane of a TensorRT engine: a stream with its buffers, and a context for each bucket of rows.

While one lane computes, the next one copies; `tensorrt_engine` has two. Buffers are made once, for the largest bucket,
and their addresses never change, so a bucket can be a CUDA graph: one launch instead of a hundred, which is what small
models on small devices spend their time on. Where the GPU sees the host's memory and its caches (`GpuFacts.zero_copy`)
it works in the pinned buffers themselves; elsewhere they are copied. Lives on the GPU's thread.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_runtime.engine.base import Array
from edge_runtime.engine.callbacks import Growing, Said, make_allocator
from edge_runtime.engine.cuda import Cuda, CudaError, HostMemory
from edge_runtime.engine.generation import make_context
from edge_runtime.engine.trt_types import ICudaEngine, IExecutionContext, IOutputAllocator, TensorRt
from toolkit.errors import EngineError

log = logging.getLogger(__name__)
ALIGNMENT: Final = 256


@dataclass(frozen=True)
class PlanTensor:
    """A tensor of a plan, with the types of the plan."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    """-1 where it is free."""
    given: bool
    """It is an input."""

    def sized(self, rows: int) -> tuple[int, ...]:
        """Give the shape with so many rows in a free axis 0."""
        return tuple(rows if axis < 0 and place == 0 else axis for place, axis in enumerate(self.shape))


@dataclass(frozen=True)
class Plan:
    """A plan in memory, and what a lane needs to know of it."""

    trt: TensorRt
    engine: ICudaEngine
    said: Said
    tensors: tuple[PlanTensor, ...]
    buckets: tuple[int, ...]
    working: int
    """Bytes of working memory of one run."""

    @property
    def inputs(self) -> tuple[PlanTensor, ...]:
        """What it takes."""
        return tuple(each for each in self.tensors if each.given)

    @property
    def outputs(self) -> tuple[PlanTensor, ...]:
        """What it gives."""
        return tuple(each for each in self.tensors if not each.given)

    def failed(self, what: str) -> EngineError:
        """Make an error of a call that gave False or None, with the reason from TensorRT's log."""
        return EngineError(f"TensorRT {what}: {self.said.reason()}")


@dataclass
class _Buffer:
    host: HostMemory
    device: int
    own: bool
    """The device's memory is another than the host's."""

    def view(self, tensor: PlanTensor, shape: Sequence[int]) -> Array:
        """Look at the beginning of it as an array."""
        size = math.prod(shape) * tensor.dtype.itemsize
        return self.host.array[:size].view(tensor.dtype).reshape(shape)


@dataclass
class _Slot:
    """A bucket."""

    context: IExecutionContext
    shapes: dict[str, tuple[int, ...]]
    """Of outputs when the bucket is full; those that are not here are known only after a run."""
    graph: int = 0
    runs: int = 0


class Lane:
    """A stream, its buffers and its contexts."""

    def __init__(self, cuda: Cuda, plan: Plan, *, graphs: bool = True) -> None:
        """Make buffers for the largest bucket.

        Raises:
            EngineError: there is no memory, or a context cannot be made.
        """
        self._cuda = cuda
        self._plan = plan
        self._graphs = graphs
        self._copies = not cuda.facts.zero_copy
        self._slots: dict[int, _Slot] = {}
        self._buffers: dict[str, _Buffer] = {}
        self.growing: dict[str, Growing] = {}
        self._allocators: list[IOutputAllocator] = []  # TensorRT holds no reference of its own
        self._working = 0
        self.bytes = 0
        self.stream = cuda.stream()
        self.event = cuda.event()
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        plan, cuda = self._plan, self._cuda
        if plan.working:
            self._working = cuda.allocate(plan.working)
            self.bytes += plan.working
        largest = plan.buckets[-1]
        for tensor in plan.inputs:
            self._buffers[tensor.name] = self._buffer(tensor, tensor.sized(largest))
        slot = self._make_slot(largest, addresses=False)
        for tensor in plan.outputs:
            if tensor.name in slot.shapes:
                self._buffers[tensor.name] = self._buffer(tensor, slot.shapes[tensor.name])
            else:
                growing = Growing(cuda.allocate, cuda.release)
                self.growing[tensor.name] = growing
                self._allocators.append(make_allocator(plan.trt, growing))
        self._set_addresses(slot)
        self._slots[largest] = slot

    def _buffer(self, tensor: PlanTensor, shape: Sequence[int]) -> _Buffer:
        size = max(math.prod(shape) * tensor.dtype.itemsize, ALIGNMENT)
        host = self._cuda.host(size, mapped=not self._copies)
        self.bytes += size * (2 if self._copies else 1)
        try:
            device = self._cuda.allocate(size) if self._copies else host.device_address
        except BaseException:
            self._cuda.release_host(host)
            raise
        return _Buffer(host, device, self._copies)

    def _make_slot(self, bucket: int, *, addresses: bool = True) -> _Slot:
        plan = self._plan
        context = make_context(plan.trt, plan.engine, self._working, plan.working)
        if context is None:
            raise plan.failed("could not make a context")
        profile = plan.buckets.index(bucket)
        if plan.engine.num_optimization_profiles > 1:
            if not context.set_optimization_profile_async(profile, self.stream):
                raise plan.failed(f"refused profile {profile}")
            self._cuda.record(self.event, self.stream)
            self._cuda.wait(self.event)
        self._set_rows(context, bucket)
        shapes = {each.name: tuple(context.get_tensor_shape(each.name)) for each in plan.outputs}
        slot = _Slot(context, {name: shape for name, shape in shapes.items() if min(shape, default=0) >= 0})
        if addresses:
            self._set_addresses(slot)
        return slot

    def _set_rows(self, context: IExecutionContext, rows: int) -> None:
        for tensor in self._plan.inputs:
            if not context.set_input_shape(tensor.name, tensor.sized(rows)):
                raise self._plan.failed(f"refused {rows} rows of input {tensor.name!r}")
        if missing := context.infer_shapes():
            raise EngineError(f"TensorRT cannot work out the shapes of {', '.join(missing)}")

    def _set_addresses(self, slot: _Slot) -> None:
        for name, buffer in self._buffers.items():
            if not slot.context.set_tensor_address(name, buffer.device):
                raise self._plan.failed(f"refused the memory of {name!r}")
        for name, allocator in zip(self.growing, self._allocators, strict=True):
            if not slot.context.set_output_allocator(name, allocator):
                raise self._plan.failed(f"refused the allocator of {name!r}")

    # ------------------------------------------------------------ a run
    def begin(self, inputs: Mapping[str, Array], rows: int) -> None:
        """Put a run into the stream; `event` happens when it is done.

        Args:
            inputs: arrays of the plan's types and of `rows` rows.
            rows: at most the largest bucket.

        Raises:
            EngineError: TensorRT or the driver refused.
        """
        bucket = next(each for each in self._plan.buckets if each >= rows)
        slot = self._slots.get(bucket)
        if slot is None:
            slot = self._slots[bucket] = self._make_slot(bucket)
        filled = bucket
        if self.growing:  # how much comes out depends on what goes in, so nothing may be added
            filled = rows
            self._set_rows(slot.context, rows)
        for tensor in self._plan.inputs:
            place = self._buffers[tensor.name].view(tensor, tensor.sized(filled))
            array = inputs[tensor.name]
            if place.shape == array.shape:
                np.copyto(place, array)
            else:
                place[:rows] = array
                place[rows:] = np.zeros((), tensor.dtype)  # not what another patient left there
        if self._graphs and not self.growing and slot.runs == 1:
            self._capture(slot, bucket)
        slot.runs += 1
        if slot.graph:
            self._cuda.launch(slot.graph, self.stream)
        else:
            self._enqueue(slot, filled)
        self._cuda.record(self.event, self.stream)

    def _enqueue(self, slot: _Slot, rows: int) -> None:
        if self._copies:
            for tensor in self._plan.inputs:
                buffer = self._buffers[tensor.name]
                source = buffer.view(tensor, tensor.sized(rows))
                self._cuda.to_device(buffer.device, source, self.stream)
        if not slot.context.execute_async_v3(self.stream):
            raise self._plan.failed("could not run the model")
        if self._copies:
            for tensor in self._plan.outputs:
                if tensor.name in slot.shapes and not self.growing:
                    buffer = self._buffers[tensor.name]
                    self._cuda.to_host(
                        buffer.view(tensor, slot.shapes[tensor.name]), buffer.device, self.stream
                    )

    def _capture(self, slot: _Slot, bucket: int) -> None:
        """Make a graph of a bucket that ran once; some models cannot be one, and run on without."""
        reason: EngineError | None = None
        try:
            self._cuda.begin_capture(self.stream)
            try:
                self._enqueue(slot, bucket)
            except EngineError as error:
                reason = error
            graph = self._cuda.end_capture(self.stream)
        except CudaError as error:
            if error.lost:
                raise
            reason = reason or error
        else:
            if reason is None:
                slot.graph = graph
            else:
                self._cuda.end_graph(graph)
        if reason is not None:
            self._graphs = False
            log.info("this model runs without CUDA graphs: %s", reason.message)

    def output(self, tensor: PlanTensor, rows: int) -> Array:
        """Look at an output after the event; the next run overwrites it, so copy what is to stay.

        Raises:
            EngineError: the driver refused.
        """
        growing = self.growing.get(tensor.name)
        if growing is None:
            buffer = self._buffers[tensor.name]
            shape = self._shape(tensor, rows)
            view = buffer.view(tensor, shape)
            if self._copies and self.growing:
                self._fetch(view, buffer.device)
            return view
        if growing.shape is None:
            raise EngineError(f"TensorRT did not say how large output {tensor.name!r} is")
        found = np.empty(growing.shape, tensor.dtype)
        if found.size:
            self._fetch(found, growing.address)
        return found

    def _shape(self, tensor: PlanTensor, rows: int) -> tuple[int, ...]:
        bucket = next(each for each in self._plan.buckets if each >= rows)
        slot = self._slots[bucket]
        if self.growing:
            return tuple(slot.context.get_tensor_shape(tensor.name))
        return slot.shapes[tensor.name]

    def _fetch(self, target: Array, address: int) -> None:
        self._cuda.to_host(target, address, self.stream)
        self._cuda.record(self.event, self.stream)
        self._cuda.wait(self.event)

    def close(self) -> None:
        """Give everything back. Nothing may fly any more.

        Raises:
            CudaError: the driver refused.
        """
        for slot in self._slots.values():
            if slot.graph:
                self._cuda.end_graph(slot.graph)
        self._slots.clear()  # contexts end before their memory does
        for buffer in self._buffers.values():
            if buffer.own:
                self._cuda.release(buffer.device)
            self._cuda.release_host(buffer.host)
        self._buffers.clear()
        for growing in self.growing.values():
            growing.close()
        self.growing.clear()
        self._allocators.clear()
        if self._working:
            self._cuda.release(self._working)
            self._working = 0
        self._cuda.end_event(self.event)
        self._cuda.end_stream(self.stream)
