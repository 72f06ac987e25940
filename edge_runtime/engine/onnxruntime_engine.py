"""ONNX Runtime behind the `Engine` protocol: the only file of the device that imports onnxruntime.

`choose` opens it with a model file of a verified artifact. It runs on the CPU with one thread and without spinning:
on small devices a second thread per model costs more than it brings, and idle models must not burn the battery.
What a model computes shall not depend on which processor it got, so every shortcut that ONNX Runtime takes on some of
them only (bfloat16 products, saturating 8-bit products, a cheaper GELU) is off: `EXACT`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime

from edge_runtime.engine.base import (
    Array,
    EngineAbout,
    Tensors,
    TensorSpec,
    find_bad_buffer,
    find_mismatch,
    put,
)
from edge_runtime.engine.weights import read_ahead, weight_bytes
from toolkit.errors import EngineError

DTYPES: dict[str, type[np.generic]] = {
    "tensor(bool)": np.bool_,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
}
"""ONNX Runtime's names of element types -> NumPy's; strings, sequences and maps have no place here."""

ERRORS_ONLY = 3
"""ONNX Runtime's log level that leaves out its warnings, which it would print on standard error."""

EXACT: Final[Mapping[str, str]] = {
    "session.intra_op.allow_spinning": "0",
    "session.inter_op.allow_spinning": "0",
    "mlas.enable_gemm_fastmath_arm64_bfloat16": "0",
    "session.x64quantprecision": "1",
    "optimization.enable_gelu_approximation": "0",
    "session.set_denormal_as_zero": "0",
}
"""Settings of a session: onnxruntime_session_options_config_keys.h. Most are the default; said, they stay so."""
BIND_FROM: Final = 256 * 1024
"""Bytes of buffers from which on binding them is faster than copying into them: a binding costs 6 µs a call (measured
with ONNX Runtime 1.31; 12 against 7 µs at 20 bytes, equal at 320 kB, 810 against 940 µs at 5 MB)."""
MEMORY_PER_WEIGHT_BYTE: Final = 2
"""Once loaded, models of 75 and 134 MB took 1.07 to 1.15 of their size here; the rest is room to load and to run."""


class OnnxRuntimeEngine:
    """One model in one ONNX Runtime session on the CPU."""

    any_thread = True
    """A session belongs to no thread, and with one thread of its own for operators it computes on the caller's."""
    buckets: tuple[int, ...] = (1,)
    """A processor is as good at three rows as at four."""

    def __init__(
        self,
        model_file: Path,
        *,
        reason: str = "",
        progress: Callable[[int, int], None] | None = None,
        bind_from: int = BIND_FROM,
    ) -> None:
        """Load the model.

        Args:
            model_file: the ONNX file; weights may lie in files beside it.
            reason: why this engine was chosen, for `about`.
            progress: told (bytes read, bytes in all) while files of weights are read.
            bind_from: bytes of buffers from which on ONNX Runtime writes into them itself.

        Raises:
            EngineError: the file is missing, is not a model that ONNX Runtime can load, names data outside its folder,
                or has inputs or outputs that are not plain tensors. The message names the file and the reason.
        """
        self._file = model_file
        self.about = EngineAbout("onnxruntime", onnxruntime.__version__, reason)
        read_ahead(model_file, progress)
        self.memory_bytes = max(weight_bytes(model_file) * MEMORY_PER_WEIGHT_BYTE, 1)
        try:
            session = onnxruntime.InferenceSession(
                str(model_file), sess_options=_options(), providers=["CPUExecutionProvider"]
            )
        except (
            Exception
        ) as exc:  # ONNX Runtime's errors have no class of their own between Exception and each kind
            raise EngineError(
                f"{model_file}: ONNX Runtime {onnxruntime.__version__} cannot load it: {_reason(exc)}",
                hint="export the model with onnx_ir <= 10 and opset <= 20, then push it again",
            ) from exc
        self._inputs = tuple(self._spec(each.name, each.type, each.shape) for each in session.get_inputs())
        self._outputs = tuple(self._spec(each.name, each.type, each.shape) for each in session.get_outputs())
        self._names = [spec.name for spec in self._outputs]
        self._session: onnxruntime.InferenceSession | None = session
        self._bind_from = bind_from
        self._fitting: tuple[tuple[str, np.dtype[np.generic], tuple[int, ...]], ...] | None = None
        """Of the last inputs that were looked at and fitted: those of most calls are like them."""
        self._bound: tuple[tuple[tuple[str, int, tuple[int, ...]], ...], onnxruntime.IOBinding] | None = None

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `infer` takes, in the model's order."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `infer` gives, in the model's order."""
        return self._outputs

    def warm_up(self) -> None:
        """Run once on zeros, with one row where the first axis is free.

        A model with other free axes is left cold: no invented length is sure to be one that it can take.

        Raises:
            EngineError: the model cannot run.
        """
        if any(None in spec.shape[1:] for spec in self._inputs):
            return
        self.infer(
            {spec.name: np.zeros([axis or 1 for axis in spec.shape], spec.dtype) for spec in self._inputs}
        )

    def infer(self, inputs: Mapping[str, Array], out: Tensors | None = None) -> Tensors:
        """Run the model once on all its inputs and give all its outputs.

        Raises:
            EngineError: inputs or buffers are not what the model takes, the model fails, or the engine is closed.
        """
        if self._session is None:
            raise EngineError(f"{self._file}: the engine is closed")
        form = tuple([(name, array.dtype, array.shape) for name, array in inputs.items()])
        if form != self._fitting:
            if mismatch := find_mismatch(self._inputs, inputs):
                raise EngineError(f"{self._file.name}: {mismatch}")
            self._fitting = form
        if out and (mismatch := find_bad_buffer(self._outputs, out)):
            raise EngineError(f"{self._file.name}: {mismatch}")
        try:
            if out and sum(array.nbytes for array in out.values()) >= self._bind_from:
                return self._run_into(self._session, inputs, out)
            arrays = self._session.run(self._names, dict(inputs))
        except Exception as exc:  # see __init__
            raise EngineError(f"{self._file.name}: the model failed: {_reason(exc)}") from exc
        found = dict(zip(self._names, arrays, strict=True))
        return {name: put(out, name, array) for name, array in found.items()} if out else found

    def close(self) -> None:
        """Give the model's memory back."""
        self._session = None
        self._bound = None

    def _run_into(
        self, session: onnxruntime.InferenceSession, inputs: Mapping[str, Array], out: Tensors
    ) -> Tensors:
        """Run with outputs bound to buffers; the binding is kept for a caller that comes with them again."""
        place = tuple((name, array.ctypes.data, array.shape) for name, array in out.items())
        if self._bound is None or self._bound[0] != place:
            fresh = session.io_binding()
            for name in self._names:
                array = out.get(name)
                if array is None:
                    fresh.bind_output(name)
                else:
                    fresh.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
            self._bound = place, fresh
        binding = self._bound[1]
        try:
            for name, array in inputs.items():
                value = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
                binding.bind_ortvalue_input(name, value)
            session.run_with_iobinding(binding)
            if len(out) == len(self._names):
                return {name: out[name] for name in self._names}
            values = binding.get_outputs()
            return {
                name: out[name] if name in out else value.numpy()
                for name, value in zip(self._names, values, strict=True)
            }
        except BaseException:
            self._bound = None
            raise
        finally:
            binding.clear_binding_inputs()  # it would hold on to what a patient sent

    def _spec(self, name: str, kind: str, shape: list[int | str | None]) -> TensorSpec:
        if kind not in DTYPES:
            raise EngineError(
                f"{self._file}: {name!r} is a {kind}, which this device cannot serve",
                hint="export the model with plain tensors of numbers or booleans",
            )
        axes = tuple(axis if isinstance(axis, int) and axis >= 0 else None for axis in shape)
        return TensorSpec(name, np.dtype(DTYPES[kind]), axes)


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = ERRORS_ONLY
    for key, value in EXACT.items():
        options.add_session_config_entry(key, value)
    return options


def _reason(exc: Exception) -> str:
    """Take the first line of what ONNX Runtime says, without its repeated prefix."""
    first = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
    return first.removeprefix("[ONNXRuntimeError] : ")
