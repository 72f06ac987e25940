"""Where TensorRT 8.6, 10 and 11 differ, each difference in one function; `build` and `tensorrt_engine` ask here.

What 11 removed of 10 and how 8 did it before: NVIDIA's migration guides. A model comes in as strongly typed ONNX, so
for 10 the network is created strongly typed, for 11 that is the only kind, and for 8, which has none, the formats that
occur in the model are allowed by flags.
"""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Final, cast

import numpy as np

from edge_runtime.engine.onnx_signature import Signature
from edge_runtime.engine.trt_types import (
    Enumerated,
    IBuilderConfig,
    ICudaEngine,
    IExecutionContext,
    TensorRt,
)
from toolkit.errors import EngineError, MissingExtraError

OLDEST: Final = (8, 6)
FIRST_WITH_TYPES: Final = 10
ONLY_TYPED: Final = 11
ELEMENTS: Final[dict[str, type[np.generic]]] = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "BOOL": np.bool_,
}
"""Names in trt.DataType -> NumPy."""


def load_tensorrt() -> TensorRt:
    """Import TensorRT. Only after `cuda.find_gpu` found a GPU: without one its classes crash the process.

    Raises:
        MissingExtraError: it is not installed.
        EngineError: it is too old, or its libraries cannot be loaded.
    """
    if find_spec("tensorrt") is None:
        missing = MissingExtraError("TensorRT", extra="jetson")
        missing.hint = (
            "on a Jetson TensorRT comes with JetPack: apt-get install python3-libnvinfer, and make the environment "
            "with python3 -m venv --system-site-packages; on a server: pip install 'tiers[tensorrt]'"
        )
        raise missing
    try:
        trt = cast("TensorRt", import_module("tensorrt"))
    except (ImportError, OSError) as exc:
        raise EngineError(
            f"TensorRT is installed, but cannot be loaded: {exc}",
            hint="its libraries must be of the same version as its Python package: ldconfig -p | grep nvinfer",
        ) from exc
    if release(trt)[:2] < OLDEST:
        raise EngineError(
            f"TensorRT {trt.__version__} is too old; 8.6 is the first that is supported",
            hint="set engine: onnxruntime for this device's models, or bring JetPack 6",
        )
    return trt


def installed_version() -> str:
    """Give TensorRT's version without importing it, "" when it is not there."""
    for name in ("tensorrt", "tensorrt_cu13", "tensorrt_cu12", "tensorrt_bindings"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ""


def release(trt: TensorRt) -> tuple[int, ...]:
    """Give its version as numbers: 10.3.0 is (10, 3, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", trt.__version__)[:4])


def network_flags(trt: TensorRt) -> int:
    """Give what `create_network` needs for a strongly typed model."""
    major = release(trt)[0]
    if major >= ONLY_TYPED:
        return 0
    flags = trt.NetworkDefinitionCreationFlag
    return 1 << int(flags.STRONGLY_TYPED if major >= FIRST_WITH_TYPES else flags.EXPLICIT_BATCH)


def allow_formats(trt: TensorRt, config: IBuilderConfig, signature: Signature) -> None:
    """Say which number formats a build may use: those of the model, and no TF32 in place of float32."""
    config.clear_flag(trt.BuilderFlag.TF32)
    if release(trt)[0] >= FIRST_WITH_TYPES:
        return  # the model's own types are obeyed
    if signature.half:
        config.set_flag(trt.BuilderFlag.FP16)
    if signature.quantized:
        config.set_flag(trt.BuilderFlag.INT8)


def tells_progress(trt: TensorRt) -> bool:
    """Say whether a build can be watched and ended early."""
    return release(trt)[0] >= FIRST_WITH_TYPES


def working_memory(trt: TensorRt, engine: ICudaEngine) -> int:
    """Give the bytes of working memory that one run of any profile takes."""
    return engine.device_memory_size_v2 if release(trt)[0] >= FIRST_WITH_TYPES else engine.device_memory_size


def make_context(trt: TensorRt, engine: ICudaEngine, memory: int, size: int) -> IExecutionContext | None:
    """Make a context whose working memory is ours, so that those which never run together share it."""
    if release(trt)[0] < FIRST_WITH_TYPES:
        context = engine.create_execution_context_without_device_memory()
        if context is not None and size:
            context.device_memory = memory
        return context
    context = engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
    if context is not None and size:
        context.set_device_memory(memory, size)
    return context


def numpy_type(kind: Enumerated) -> np.dtype[np.generic]:
    """Give NumPy's element type.

    Raises:
        EngineError: NumPy has none, such as for bfloat16.
    """
    if kind.name not in ELEMENTS:
        raise EngineError(
            f"a tensor of the plan is {kind.name}, which clients cannot send or take",
            hint="export the model with inputs and outputs in float32 (keep_io_types)",
        )
    return np.dtype(ELEMENTS[kind.name])
