"""Open a model in TensorRT; where its plan is not here, let a child process build it first.

`choose` calls it. A build may take minutes and gigabytes, and a fault in a driver ends the process that has it: so the
daemon that serves, and the golden check, never build themselves. The child is `tiers-edge build`, which prints a line
of JSON for each step; two that want one plan take turns on its lock.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from edge_runtime.engine.agree import find_disagreement
from edge_runtime.engine.build import BuildSettings, Tools, UnsuitableModelError
from edge_runtime.engine.choose import PlanRoom
from edge_runtime.engine.onnx_signature import read_signature
from edge_runtime.engine.plan import PlanRefusedError, Plans
from edge_runtime.engine.tensorrt_engine import TensorRtEngine
from toolkit.errors import EngineError
from toolkit.wire.learnt import learn

log = logging.getLogger(__name__)
GRACE: Final = 60.0
"""Seconds that the child gets beyond its own limit, which TensorRT looks at only between two steps."""


class DisagreementError(EngineError):
    """A plan computes something else than its model."""


class BuildLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line that `tiers-edge build --json` prints: a step, an end, or a failure."""

    model: str
    phase: str = ""
    done: int = 0
    steps: int = 0
    plan: str = ""
    """File of the plan, at the end."""
    fresh: bool = False
    """It was built now."""
    buckets: tuple[int, ...] = ()
    bytes: int = 0
    seconds: float = 0.0
    error: str = ""
    hint: str = ""
    unsuitable: bool = False
    """No TensorRT can have this model."""


def open_or_build(
    tools: Tools,
    model_file: Path,
    room: PlanRoom,
    build: Callable[[Path, PlanRoom], None] | None = None,
) -> TensorRtEngine:
    """Open a model with the plan of this machine, and build that when it is missing, damaged or refused.

    Args:
        tools: TensorRT and the GPU.
        model_file: the ONNX file.
        room: where plans are.
        build: makes the plan; None does it in a child process.

    Raises:
        UnsuitableModelError: TensorRT cannot have this model.
        DisagreementError: what was built computes something else than ONNX Runtime; the plan is deleted.
        EngineError: the build failed, or what was built cannot be loaded.
    """
    plans = Plans(room.folder)
    key = tools.key(model_file, BuildSettings(max_batch=room.max_batch))
    try:
        return TensorRtEngine(tools.gpu, tools.trt, *plans.load(key))
    except PlanRefusedError as error:
        log.info("%s: a plan is built: %s", model_file, error.message)
        plans.file(key).unlink(missing_ok=True)
    (build or build_in_child)(model_file, room)
    engine = TensorRtEngine(tools.gpu, tools.trt, *plans.load(key))
    try:
        _compare(engine, model_file)
    except BaseException:
        engine.close()
        plans.file(key).unlink(missing_ok=True)
        raise
    return engine


def _compare(engine: TensorRtEngine, model_file: Path) -> None:
    """Refuse a plan that is far off what ONNX Runtime computes, where that is installed.

    Raises:
        DisagreementError: it is.
    """
    if find_spec("onnxruntime") is None:
        return
    from edge_runtime.engine.onnxruntime_engine import OnnxRuntimeEngine

    if why := find_disagreement(engine, OnnxRuntimeEngine(model_file), read_signature(model_file)):
        raise DisagreementError(
            f"{model_file}: TensorRT does not compute what ONNX Runtime does: {why}",
            hint="set engine: onnxruntime for this model, and tell us about it",
        )


def build_in_child(model_file: Path, room: PlanRoom) -> None:
    """Build a plan with `tiers-edge build` in a process of its own.

    Raises:
        UnsuitableModelError: TensorRT cannot have this model.
        EngineError: the build failed; the message says why.
    """
    command = [sys.executable, "-m", "edge_runtime", "build", str(model_file), "--json"]
    command += [
        "--plans",
        str(room.folder),
        "--max-batch",
        str(room.max_batch),
        "--seconds",
        str(room.seconds),
    ]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=room.seconds + GRACE
        )
    except subprocess.TimeoutExpired as exc:
        raise EngineError(f"{model_file}: the build did not end within {room.seconds:g} s") from exc
    except OSError as exc:
        raise EngineError(f"{model_file}: the build cannot be started: {exc}") from exc
    if not done.returncode:
        return
    try:
        said = msgspec.json.decode(done.stdout.strip().rpartition(b"\n")[2], type=learn(BuildLine))
    except msgspec.DecodeError:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:300]
        raise EngineError(f"{model_file}: the build ended with {done.returncode}: {last}") from None
    kind = UnsuitableModelError if said.unsuitable else EngineError
    raise kind(said.error or f"{model_file}: the build ended with {done.returncode}", hint=said.hint)
