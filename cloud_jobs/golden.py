"""Golden inputs: a few samples and what this model answers, so that a device can prove it computes the same.

Layout of toolkit.wire.manifest.Golden: a .npz with `input.NAME`, `output.NAME` and `labels`, first axis = sample,
plain arrays only (numpy reads it with allow_pickle=False). The answers are those of ONNX Runtime on the exported
file, not of PyTorch: the file is what ships.  Flow: export -> `golden_of` -> model.onnx and golden.npz side by side.
"""

from __future__ import annotations

import io

import numpy as np
import onnxruntime
from numpy.typing import NDArray

INPUT = "image"
OUTPUT = "logits"
"""Names of the tensors that go into and come out of every model we export."""

GOLDEN_SAMPLES = 20
"""How many samples prove a model: a wrong weight moves all answers, so a few are enough and weigh next to nothing."""


def answers_of(model: bytes, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run an ONNX model (the bytes of its file) on samples with ONNX Runtime, one thread, CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (answers,) = session.run([OUTPUT], {INPUT: samples})
    return np.asarray(answers, dtype=np.float32)


def golden_of(model: bytes, samples: NDArray[np.float32], truth: NDArray[np.int64]) -> bytes:
    """Return the bytes of a .npz with these samples and the model's answers. Equal input, equal bytes.

    Truth is added as `labels` where it is one class per sample; a mask is none and is left out.
    """
    buffer = io.BytesIO()
    arrays = {f"input.{INPUT}": samples, f"output.{OUTPUT}": answers_of(model, samples)}
    labels = {"labels": truth} if truth.ndim == 1 else {}
    np.savez(buffer, allow_pickle=False, **arrays, **labels)
    return buffer.getvalue()
