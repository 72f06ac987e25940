"""ONNX Runtime behind the `Engine` protocol: the only file of the device that imports onnxruntime.

`choose` opens it with a model file of a verified artifact. It runs on the CPU with one thread and without spinning:
on small devices a second thread per model costs more than it brings, and idle models must not burn the battery.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from edge_runtime.engine.base import Array, Tensors, TensorSpec, find_mismatch
from edge_runtime.engine.onnx_file import check_external_data
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


class OnnxRuntimeEngine:
    """One model in one ONNX Runtime session on the CPU."""

    def __init__(self, model_file: Path) -> None:
        """Load the model.

        Raises:
            EngineError: the file is missing, is not a model that ONNX Runtime can load, names data outside its folder,
                or has inputs or outputs that are not plain tensors. The message names the file and the reason.
        """
        self._file = model_file
        check_external_data(model_file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(
                str(model_file), sess_options=options, providers=["CPUExecutionProvider"]
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

    def infer(self, inputs: Mapping[str, Array]) -> Tensors:
        """Run the model once on all its inputs and give all its outputs.

        Raises:
            EngineError: the inputs are not what the model takes, the model fails, or the engine is closed.
        """
        if self._session is None:
            raise EngineError(f"{self._file}: the engine is closed")
        if mismatch := find_mismatch(self._inputs, inputs):
            raise EngineError(f"{self._file.name}: {mismatch}")
        try:
            arrays = self._session.run(self._names, dict(inputs))
        except Exception as exc:  # see __init__
            raise EngineError(f"{self._file.name}: the model failed: {_reason(exc)}") from exc
        return dict(zip(self._names, arrays, strict=True))

    def close(self) -> None:
        """Give the model's memory back."""
        self._session = None

    def _spec(self, name: str, kind: str, shape: list[int | str | None]) -> TensorSpec:
        if kind not in DTYPES:
            raise EngineError(
                f"{self._file}: {name!r} is a {kind}, which this device cannot serve",
                hint="export the model with plain tensors of numbers or booleans",
            )
        axes = tuple(axis if isinstance(axis, int) and axis >= 0 else None for axis in shape)
        return TensorSpec(name, np.dtype(DTYPES[kind]), axes)


def _reason(exc: Exception) -> str:
    """Take the first line of what ONNX Runtime says, without its repeated prefix."""
    first = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
    return first.removeprefix("[ONNXRuntimeError] : ")
