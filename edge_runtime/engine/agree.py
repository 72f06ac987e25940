"""Does a plan that was built just now compute what ONNX Runtime computes? Asked before such a plan serves.

An installation has its golden inputs for that; but after an upgrade of the machine a plan is built again without them,
and a builder may be wrong (TensorRT 11.3 can drop a bias). So `builder` runs both engines on the same made-up inputs,
and a plan that is far off is not used. It is a guard against gross faults, not a measure of accuracy.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from edge_runtime.engine.base import Array, Engine, Tensors, TensorSpec
from edge_runtime.engine.onnx_signature import Signature

SEED: Final = 7
ROWS: Final = 2
FAR_OFF: Final = 0.01
"""Relative error (norm of the difference over norm of the reference) that float32 stays far below."""
FAR_OFF_ROUNDED: Final = 0.1
"""The same for models in float16 or with 8-bit integers, whose rounding may fall differently."""


def find_disagreement(engine: Engine, reference: Engine, signature: Signature) -> str:
    """Say what an engine computes that its reference does not; "" when they agree.

    Args:
        engine: the one in question.
        reference: computes the same model.
        signature: of the model; says how much rounding is to be expected.

    Raises:
        EngineError: one of them cannot run.
    """
    inputs = made_up(reference.inputs)
    got, wanted = engine.infer(inputs), reference.infer(inputs)
    most = FAR_OFF_ROUNDED if signature.half or signature.quantized else FAR_OFF
    for spec in reference.outputs:
        if got[spec.name].shape != wanted[spec.name].shape:
            if None in spec.shape[1:]:
                continue  # how much comes out depends on the last bit of what goes in
            return f"output {spec.name!r} has shape {got[spec.name].shape}, not {wanted[spec.name].shape}"
        if spec.dtype.kind == "f" and (error := relative_error(got[spec.name], wanted[spec.name])) > most:
            return f"output {spec.name!r} is off by {error:.2g} of its size; at most {most:g} is rounding"
    return ""


def made_up(specs: tuple[TensorSpec, ...]) -> Tensors:
    """Give inputs that are the same every time: numbers from 0 to 1, and zeros for integers."""
    chance = np.random.default_rng(SEED)
    found: Tensors = {}
    for spec in specs:
        shape = [ROWS if axis is None else axis for axis in spec.shape]
        numbers = chance.random(shape) if spec.dtype.kind == "f" else np.zeros(shape)
        found[spec.name] = numbers.astype(spec.dtype)
    return found


def relative_error(got: Array, wanted: Array) -> float:
    """Give the norm of the difference over the norm of what is wanted; infinite where something is not a number."""
    wide, reference = got.astype(np.float64), wanted.astype(np.float64)
    both = np.isfinite(reference)
    if not np.array_equal(both, np.isfinite(wide)):
        return float("inf")
    size = float(np.linalg.norm(reference[both]))
    return float(np.linalg.norm(wide[both] - reference[both])) / max(size, 1e-12)
