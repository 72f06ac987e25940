"""Open a model with the engine that the configuration asks for and that this machine has.

Called with the model file of a verified artifact, by the golden check in its child process and by the daemon before it
hands the engine to `serving.models`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from edge_runtime.engine.base import Engine
from toolkit.errors import EngineError, MissingExtraError


def open_engine(model_file: Path, *, engine: Literal["auto", "tensorrt", "onnxruntime"] = "auto") -> Engine:
    """Load a model; `auto` takes the best engine that this version and this machine have.

    Raises:
        EngineError: the engine is not in this version, or it cannot load the model.
        MissingExtraError: the engine's packages are not installed.
    """
    if engine == "tensorrt":
        raise EngineError(
            f"{model_file}: engine 'tensorrt' was asked for, but this version of tiers-edge has none",
            hint="set engine: auto (or onnxruntime) for this model in the device's configuration",
        )
    if find_spec("onnxruntime") is None:
        raise MissingExtraError("inference on this device", extra="edge")
    from edge_runtime.engine.onnxruntime_engine import OnnxRuntimeEngine

    return OnnxRuntimeEngine(model_file)
