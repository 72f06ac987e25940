"""TensorRT behind the `Engine` protocol: a checked plan, two lanes, and the GPU's one thread.

`choose` opens it with a plan that `plan` has checked and `build` has made. Callers may be any thread; all work on the
GPU is handed to `gpu`. A request with more rows than the largest bucket is cut into several, which fly together: while
one computes, the next is copied. The same happens to two callers.
This has run against a fake of TensorRT and of CUDA, and its calls were checked against the real bindings of 10.3, 10.13
and 11.4; it has not run on a GPU (docs/guides/tensorrt.md).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from edge_runtime.engine.base import (
    Array,
    EngineAbout,
    Tensors,
    TensorSpec,
    find_bad_buffer,
    find_mismatch,
    has_free_rows,
    put,
)
from edge_runtime.engine.callbacks import Said, make_logger
from edge_runtime.engine.cuda import CudaError
from edge_runtime.engine.generation import numpy_type, working_memory
from edge_runtime.engine.gpu import Flight, Gpu
from edge_runtime.engine.lane import Lane, Plan, PlanTensor
from edge_runtime.engine.plan import PlanHeader, PlanRefusedError, read_specs
from edge_runtime.engine.trt_types import ICudaEngine, Runtime, TensorRt
from toolkit.errors import EngineError

LANES: Final = 2


@dataclass
class _Loaded:
    """What lives on the GPU's thread, and dies there: nothing else may hold a plan or a lane."""

    runtime: Runtime | None
    """TensorRT wants it to live as long as its engines."""
    plan: Plan | None
    lanes: list[Lane]
    free: deque[Lane]
    tensors: tuple[PlanTensor, ...]


class TensorRtEngine:
    """One model in one TensorRT engine."""

    any_thread = False
    """The GPU's context and its streams have one thread, see `gpu`."""

    def __init__(
        self,
        gpu: Gpu,
        trt: TensorRt,
        header: PlanHeader,
        plan: bytes,
        *,
        reason: str = "",
        graphs: bool = True,
    ) -> None:
        """Bring a plan into memory.

        Args:
            gpu: the thread that does it.
            trt: TensorRT.
            header: as `Plans.load` gave it.
            plan: likewise.
            reason: why this engine was chosen, for `about`.
            graphs: whether buckets may become CUDA graphs.

        Raises:
            PlanRefusedError: TensorRT does not take the plan.
            EngineError: it does not fit what the header says, or there is no memory for it.
        """
        self.about = EngineAbout("tensorrt", trt.__version__, reason, "fetched" if header.origin else "built")
        self.buckets = header.buckets
        self._inputs = read_specs(header.inputs)
        self._outputs = read_specs(header.outputs)
        self._free_rows = has_free_rows(self._inputs)
        self._gpu = gpu
        loaded = gpu.call(partial(self._open, trt, plan, graphs))
        self._loaded: _Loaded | None = loaded
        tensors = loaded.tensors
        self._given = tuple(each for each in tensors if each.given)
        self._taken = tuple(each for each in tensors if not each.given)
        self._loose = bool(loaded.lanes[0].growing)
        self._by_rows = self._free_rows and has_free_rows(self._outputs) and not self._loose
        self.memory_bytes = len(plan) + sum(lane.bytes for lane in loaded.lanes)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `infer` takes, in the model's order."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `infer` gives, in the model's order."""
        return self._outputs

    def warm_up(self) -> None:
        """Run every bucket on every lane: once to allocate, once to become a graph.

        Raises:
            EngineError: the model cannot run.
        """
        for bucket in self.buckets:
            zeros = {
                spec.name: np.zeros([bucket if axis is None else axis for axis in spec.shape], spec.dtype)
                for spec in self._inputs
            }
            for _ in range(2):
                flights = [self._start(zeros, bucket) for _ in range(LANES)]
                for flight in flights:
                    flight.result()

    def infer(self, inputs: Mapping[str, Array], out: Tensors | None = None) -> Tensors:
        """Run the model once on all its inputs and give all its outputs.

        Raises:
            EngineError: inputs or buffers are not what the model takes, the model fails, or the engine is closed.
        """
        if self._loaded is None:
            raise EngineError("the engine is closed")
        mismatch = find_mismatch(self._inputs, inputs) or find_bad_buffer(self._outputs, out or {})
        if mismatch:
            raise EngineError(mismatch)
        rows = self._rows(inputs)
        if self._by_rows:
            return self._infer_rows(inputs, rows, out or {})
        if not 0 < rows <= self.buckets[-1]:
            raise EngineError(f"{rows} rows in one request; this plan takes 1 to {self.buckets[-1]}")
        found = self._start(inputs, rows).result()
        return {spec.name: put(out or {}, spec.name, found[spec.name]) for spec in self._outputs}

    def close(self) -> None:
        """Give the model's memory back."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            with suppress(EngineError):  # of a lost GPU nothing needs to be given back
                self._gpu.call(partial(_close, loaded))

    # ------------------------------------------------------------ rows
    def _rows(self, inputs: Mapping[str, Array]) -> int:
        if not self._free_rows:
            return self.buckets[0]
        lengths = {array.shape[0] for array in inputs.values()}
        if len(lengths) != 1:
            raise EngineError("all inputs must have the same number of rows (axis 0)")
        return int(lengths.pop())

    def _infer_rows(self, inputs: Mapping[str, Array], rows: int, out: Tensors) -> Tensors:
        """Run as many rows as there are, in pieces of the largest bucket; rows do not depend on each other."""
        largest = self.buckets[-1]
        pieces = [slice(start, min(start + largest, rows)) for start in range(0, rows, largest)]
        flights = [
            self._start({name: array[piece] for name, array in inputs.items()}, piece.stop - piece.start)
            for piece in pieces
        ]
        results: list[Tensors] = []
        failure: BaseException | None = None
        for flight in flights:  # all of them, so that nothing flies when this is over
            try:
                results.append(flight.result())
            except EngineError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        found: Tensors = {}
        for spec in self._outputs:
            parts = [result[spec.name] for result in results]
            if len(parts) == 1:
                found[spec.name] = put(out, spec.name, parts[0])
            elif not parts:
                found[spec.name] = put(out, spec.name, self._nothing(spec))
            else:
                found[spec.name] = put(out, spec.name, np.concatenate(parts))
        return found

    def _nothing(self, spec: TensorSpec) -> Array:
        """Give an output of no rows."""
        tensor = next(each for each in self._taken if each.name == spec.name)
        if min(tensor.shape[1:], default=0) < 0:
            raise EngineError(f"no rows were given, so output {spec.name!r} has no shape")
        return np.zeros((0, *tensor.shape[1:]), spec.dtype)

    def _start(self, inputs: Mapping[str, Array], rows: int) -> Future[Tensors]:
        loaded = self._loaded
        if loaded is None:
            raise EngineError("the engine is closed")
        ready = {tensor.name: _narrowed(inputs[tensor.name], tensor) for tensor in self._given}
        return self._gpu.fly(partial(self._begin, loaded, ready, rows))

    # ------------------------------------------------------------ on the GPU's thread
    def _begin(self, loaded: _Loaded, inputs: Tensors, rows: int) -> Flight[Tensors] | None:
        if not loaded.free:
            return None
        lane = loaded.free.popleft()
        try:
            lane.begin(inputs, rows)
        except BaseException:
            loaded.free.append(lane)
            raise
        return Flight(lane.event, partial(self._take, lane, rows), partial(loaded.free.append, lane))

    def _take(self, lane: Lane, rows: int) -> Tensors:
        found: Tensors = {}
        specs = {spec.name: spec for spec in self._outputs}
        for tensor in self._taken:
            view = lane.output(tensor, rows)
            if self._by_rows:
                view = view[:rows]
            found[tensor.name] = view.astype(
                specs[tensor.name].dtype
            )  # a copy: the next run overwrites the buffer
        return found

    def _open(self, trt: TensorRt, plan: bytes, graphs: bool) -> _Loaded:  # noqa: FBT001 - from `partial`
        said = Said()
        runtime = trt.Runtime(make_logger(trt, said))
        runtime.engine_host_code_allowed = False
        if runtime.engine_host_code_allowed:
            raise EngineError("TensorRT would run code of the plan on the processor; this is never allowed")
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise PlanRefusedError(
                f"TensorRT {trt.__version__} refuses the plan: {said.reason()}",
                hint="tiers-edge build makes a new one",
            )
        tensors = _read_tensors(trt, engine)
        _compare(tensors, self._inputs, self._outputs)
        if engine.num_optimization_profiles not in {0, 1, len(self.buckets)}:
            raise PlanRefusedError(
                f"the plan has {engine.num_optimization_profiles} profiles for {len(self.buckets)} buckets"
            )
        loaded = Plan(trt, engine, said, tensors, self.buckets, working_memory(trt, engine))
        lanes: list[Lane] = []
        try:
            while len(lanes) < LANES:  # no generator: its cell would keep the plan alive in an error
                lanes.append(Lane(self._gpu.cuda, loaded, graphs=graphs))
        except BaseException:
            for lane in lanes:
                lane.close()
            raise
        return _Loaded(runtime, loaded, lanes, deque(lanes), tensors)


def _close(loaded: _Loaded) -> None:
    for lane in loaded.lanes:
        with suppress(CudaError):
            lane.close()
    loaded.lanes.clear()
    loaded.free.clear()
    del lane
    loaded.plan = loaded.runtime = None  # their destructors call CUDA


def _read_tensors(trt: TensorRt, engine: ICudaEngine) -> tuple[PlanTensor, ...]:
    found: list[PlanTensor] = []
    for number in range(engine.num_io_tensors):
        name = engine.get_tensor_name(number)
        if engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
            raise EngineError(
                f"tensor {name!r} decides over shapes and must lie on the host, which is not supported",
                hint="set engine: onnxruntime for this model",
            )
        kind = numpy_type(engine.get_tensor_dtype(name))
        shape = tuple(engine.get_tensor_shape(name))
        found.append(PlanTensor(name, kind, shape, engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT))
    return tuple(found)


def _compare(
    tensors: Sequence[PlanTensor], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> None:
    """Check that a plan has exactly the tensors of its model, in which order ever."""
    has = {(each.name, each.given) for each in tensors}
    wanted = {(spec.name, True) for spec in inputs} | {(spec.name, False) for spec in outputs}
    if has != wanted:
        odd = ", ".join(sorted(name for name, _ in has ^ wanted))
        raise PlanRefusedError(f"the plan is not one of this model: they differ in {odd}")


def _narrowed(array: Array, tensor: PlanTensor) -> Array:
    """Give an input in the plan's type: TensorRT 8 takes 32-bit integers where the model says 64.

    Raises:
        EngineError: a value does not fit.
    """
    if array.dtype == tensor.dtype:
        return array
    if array.dtype.kind in "iu" and tensor.dtype.kind in "iu" and array.size:
        least, most = int(array.min()), int(array.max())
        if (least, most) != (
            int(np.array(least).astype(tensor.dtype)),
            int(np.array(most).astype(tensor.dtype)),
        ):
            raise EngineError(
                f"input {tensor.name!r} has values beyond {tensor.dtype.name}, which this device's TensorRT computes in"
            )
    return array.astype(tensor.dtype)
