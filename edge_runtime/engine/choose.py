"""Open a model with the engine that the configuration asks for and that this machine has.

Called with the model file of a verified artifact, by the golden check in its child process and by the daemon before it
hands the engine to `serving.models`. `auto` takes TensorRT where there is a GPU with TensorRT, a folder for plans, and
a model that TensorRT can have; a plan that is not here yet is built first, in a process of its own (`builder`).
Everywhere else it takes ONNX Runtime, and `Engine.about` says why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from edge_runtime.engine.base import Engine
from edge_runtime.engine.cuda import find_gpu, open_cuda
from toolkit.errors import EngineError, MissingExtraError, TiersError

if TYPE_CHECKING:
    from edge_runtime.engine.build import Tools

log = logging.getLogger(__name__)
EngineName: TypeAlias = Literal["auto", "tensorrt", "onnxruntime"]
Reason: TypeAlias = Literal["", "configured", "no-plans", "no-gpu", "no-tensorrt", "unsuitable", "failed"]
"""Why a model runs in ONNX Runtime; label of the series edge_engine_info. Empty of one that runs in TensorRT."""
BUILD_SECONDS: Final = 3600.0
NO_GPU_CURE: Final = "run it on the device, or set engine: auto (or onnxruntime) in its configuration"


class NoGpuError(EngineError):
    """This machine has no GPU that CUDA can use."""


class NoRoomError(EngineError):
    """Nobody said where plans are kept."""


@dataclass(frozen=True)
class PlanRoom:
    """Where plans are kept, and for how many rows one is made."""

    folder: Path
    max_batch: int = 8
    seconds: float = BUILD_SECONDS
    """Longest time of a build."""


def open_engine(
    model_file: Path,
    *,
    engine: EngineName = "auto",
    room: PlanRoom | None = None,
    tensorrt: Callable[[Path, PlanRoom], Engine] | None = None,
) -> Engine:
    """Load a model; `auto` takes the best engine that this machine has for it.

    Args:
        model_file: the ONNX file.
        engine: as configured.
        room: where plans are; without one `auto` takes ONNX Runtime.
        tensorrt: opens a model in TensorRT; None takes this machine's.

    Raises:
        EngineError: the engine is not here, or it cannot load the model.
        MissingExtraError: the engine's packages are not installed.
    """
    reason: Reason = "configured"
    if engine != "onnxruntime":
        try:
            return _open_tensorrt(model_file, room, tensorrt or open_planned)
        except TiersError as error:
            if engine == "tensorrt":
                raise
            reason = _reason(error)
            if reason in {"unsuitable", "failed"}:
                log.warning("%s runs in ONNX Runtime: %s", model_file, error.message)
    if find_spec("onnxruntime") is None:
        raise MissingExtraError("inference on this device", extra="edge")
    from edge_runtime.engine.onnxruntime_engine import OnnxRuntimeEngine

    return OnnxRuntimeEngine(model_file, reason=reason)


def open_planned(model_file: Path, room: PlanRoom) -> Engine:
    """Open a model in this machine's TensorRT, with a plan that is here or is built now.

    Raises:
        NoGpuError: there is no GPU.
        MissingExtraError: TensorRT is not installed.
        EngineError: the model cannot be built or loaded.
    """
    tools = machine_tools()
    from edge_runtime.engine.builder import open_or_build

    return open_or_build(tools, model_file, room)


def machine_tools() -> Tools:
    """Give this process's GPU and TensorRT, opened once; nothing of TensorRT is touched before a GPU is found.

    Raises:
        NoGpuError: there is no GPU.
        MissingExtraError: TensorRT is not installed.
        EngineError: one of them cannot be used.
    """
    if why := find_gpu():
        raise NoGpuError(f"TensorRT needs a GPU, but {why}", hint=NO_GPU_CURE)
    return _opened_tools()


@lru_cache(maxsize=1)
def _opened_tools() -> Tools:
    from edge_runtime.engine.build import Tools
    from edge_runtime.engine.generation import load_tensorrt
    from edge_runtime.engine.gpu import Gpu

    trt = load_tensorrt()
    return Tools(trt, Gpu(open_cuda))


def _open_tensorrt(
    model_file: Path, room: PlanRoom | None, tensorrt: Callable[[Path, PlanRoom], Engine]
) -> Engine:
    if room is None:
        raise NoRoomError(
            f"{model_file}: engine 'tensorrt' was asked for, but there is no folder for plans",
            hint="set engine: auto (or onnxruntime) for this model in the device's configuration",
        )
    return tensorrt(model_file, room)


def _reason(error: TiersError) -> Reason:
    from edge_runtime.engine.build import UnsuitableModelError

    kinds: dict[type[TiersError], Reason] = {
        NoRoomError: "no-plans",
        NoGpuError: "no-gpu",
        MissingExtraError: "no-tensorrt",
        UnsuitableModelError: "unsuitable",
    }
    return next((reason for kind, reason in kinds.items() if isinstance(error, kind)), "failed")
