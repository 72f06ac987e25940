"""Turn a trained network into an ONNX file that the oldest device in service can load.

JetPack 6 ends with ONNX Runtime 1.23, which refuses IR above 10 (`reference`: ONNX's table of versions); the ceiling
is checked here on the file itself, and so is that ONNX Runtime computes what PyTorch computed.
Flow: trainer -> `export` -> model.onnx -> artifact, `tiers model push`.
"""

from __future__ import annotations

import io
import warnings
from typing import Literal

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from cloud_jobs.golden import INPUT, OUTPUT, answers_of
from toolkit.errors import JobError

Exporter = Literal["legacy", "dynamo"]

OPSET = 18
"""Operator set that is written: both exporters know it natively, TensorRT 8.6 and later read it."""
MAX_OPSET = 20
MAX_IR = 10
"""Newest formats that ONNX Runtime 1.23 (JetPack 6, Python 3.10) loads."""

TOLERANCE = 1e-4
"""Largest difference between PyTorch's and ONNX Runtime's logits, absolute plus relative."""


def export(model: nn.Module, example: Tensor, exporter: Exporter = "legacy") -> bytes:
    """Return `model` as ONNX with a free batch size; input and output are named `image` and `logits`.

    Args:
        model: on CPU; it is put into evaluation mode.
        example: a batch of samples, for the shapes and for the comparison with PyTorch.
        exporter: `legacy` traces (quick, needs onnx only), `dynamo` captures (slow, needs onnxscript too).

    Raises:
        JobError: the file is above the ceiling, or computes something else than the network.

    """
    model.eval()
    data = _by_tracing(model, example) if exporter == "legacy" else _by_capture(model, example)
    check_ceiling(data)
    _check_same_answers(model, example, data)
    return data


def check_ceiling(data: bytes) -> None:
    """Check that an ONNX file is well formed and not newer than the oldest ONNX Runtime in service.

    Raises:
        JobError: it is not.

    """
    parsed = onnx.load_from_string(data)
    onnx.checker.check_model(parsed, full_check=True)
    opset = max(each.version for each in parsed.opset_import if each.domain in {"", "ai.onnx"})
    if parsed.ir_version > MAX_IR or opset > MAX_OPSET:
        raise JobError(
            f"the exported model has IR {parsed.ir_version} and opset {opset};"
            f" devices load at most IR {MAX_IR} and opset {MAX_OPSET}",
            hint="export with --exporter legacy, or pin an older onnx",
        )


def _by_tracing(model: nn.Module, example: Tensor) -> bytes:
    """Use the exporter that PyTorch has had since 1.0. It keeps the parameters' names and their order."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # PyTorch announces, in two places, that this exporter will go; the second branch is our answer. Only these
        # notices are ignored, every other warning still shows.
        for notice in (".*legacy TorchScript-based ONNX export", "The feature will be removed"):
            warnings.filterwarnings("ignore", message=notice, category=DeprecationWarning)
        torch.onnx.export(
            model,
            (example,),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
        )
    return buffer.getvalue()


def _by_capture(model: nn.Module, example: Tensor) -> bytes:
    """Use the exporter on torch.export; slower, and the one that stays."""
    program = torch.onnx.export(
        model,
        (example,),
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        verbose=False,
    )
    return bytes(program.model_proto.SerializeToString())


def _check_same_answers(model: nn.Module, example: Tensor, data: bytes) -> None:
    with torch.no_grad():
        expected = model(example).numpy()
    answers = answers_of(data, example.numpy())
    if not np.allclose(answers, expected, rtol=TOLERANCE, atol=TOLERANCE):
        worst = float(np.abs(answers - expected).max())
        raise JobError(f"ONNX Runtime and PyTorch differ by up to {worst:.3g} on the exported model")
