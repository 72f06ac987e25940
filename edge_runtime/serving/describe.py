"""What a served model says of itself: its metadata, its configuration and its statistics, each as the protocol has it.

`routes` calls it for questions that run nothing. Forms: the Open Inference Protocol for metadata, Triton's extensions
`model_configuration` and `statistics` for the others, because perf_analyzer and tritonclient read those.
https://github.com/triton-inference-server/server/tree/main/docs/protocol
"""

from __future__ import annotations

from collections.abc import Iterable

from edge_runtime.engine.base import TensorSpec
from edge_runtime.serving.served import ServedModel
from edge_runtime.serving.stats import ModelStats, Tally
from edge_runtime.serving.tensors import NAMES

PLATFORM = "onnx"
"""Of every model, whichever engine runs it: an artifact is ONNX, and a plan is only its cache."""


def metadata(model: ServedModel) -> dict[str, object]:
    """Say what the model takes and gives."""
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": PLATFORM,
        "inputs": [_tensor(spec) for spec in model.inputs],
        "outputs": [_tensor(spec) for spec in model.outputs],
    }


def configuration(model: ServedModel) -> dict[str, object]:
    """Say how the model is run, as far as Triton's form has words for it; without batches its largest is 0.

    As in Triton the axis of the batch is left out where there is one.
    """
    skipped = 1 if model.max_rows else 0
    return {
        "name": model.name,
        "platform": PLATFORM,
        "backend": PLATFORM,
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": model.max_rows,
        "input": [_input(spec, skipped) for spec in model.inputs],
        "output": [_input(spec, skipped) for spec in model.outputs],
        **({"dynamic_batching": {}} if model.max_rows else {}),
    }


def statistics(every: Iterable[ModelStats]) -> dict[str, object]:
    """Say what was counted for these versions, times in nanoseconds."""
    return {"model_stats": [_counts(stats) for stats in every]}


def _counts(stats: ModelStats) -> dict[str, object]:
    found = stats.snapshot()
    nothing = Tally()
    return {
        "name": stats.model,
        "version": stats.version,
        "last_inference": found.last_inference,
        "inference_count": found.inference_count,
        "execution_count": found.execution_count,
        "inference_stats": {
            "success": _tally(found.success),
            "fail": _tally(found.fail),
            "queue": _tally(found.queue),
            "compute_input": _tally(nothing),  # the engine's call holds both copies
            "compute_infer": _tally(found.compute_infer),
            "compute_output": _tally(nothing),
            "cache_hit": _tally(found.cache_hit),
            "cache_miss": _tally(found.cache_miss),
        },
        "batch_stats": [
            {
                "batch_size": rows,
                "compute_input": _tally(nothing),
                "compute_infer": _tally(tally),
                "compute_output": _tally(nothing),
            }
            for rows, tally in found.batch_stats.items()
        ],
    }


def _tally(tally: Tally) -> dict[str, int]:
    return {"count": tally.count, "ns": tally.ns}


def _tensor(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": NAMES[spec.dtype], "shape": _axes(spec)}


def _input(spec: TensorSpec, skipped: int) -> dict[str, object]:
    return {"name": spec.name, "data_type": f"TYPE_{NAMES[spec.dtype]}", "dims": _axes(spec)[skipped:]}


def _axes(spec: TensorSpec) -> list[int]:
    return [-1 if axis is None else axis for axis in spec.shape]
