"""Take trained weights out of an ONNX file, so that a published model is all that fine-tuning needs.

The exporter keeps each tensor under the parameter's name, and float32 bits as they are. Flow: `--start v1.onnx` ->
`read_weights` -> trainer; `weights_digest` goes into the metrics.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor, nn

from toolkit.errors import UsageError
from toolkit.wire.digest import Digest, digest_of


def read_weights(path: Path, model: nn.Module) -> dict[str, Tensor]:
    """Return every weight that `model` has, as the ONNX file holds it.

    Raises:
        UsageError: the file is missing, is no ONNX, or lacks a weight of the model or has it in another shape.

    """
    try:
        graph = onnx.load(str(path)).graph
    except (OSError, DecodeError) as error:
        raise UsageError(
            f"{path} is no ONNX file to start from: {error}",
            hint="--start examples/models/digits/v1.onnx",
        ) from error
    stored = {each.name: torch.tensor(numpy_helper.to_array(each)) for each in graph.initializer}
    weights: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name not in stored or stored[name].shape != tensor.shape:
            found = tuple(stored[name].shape) if name in stored else "missing"
            raise UsageError(
                f"{path} does not fit the recipe's model: {name} should be {tuple(tensor.shape)} and is {found}",
                hint="start from a model that the same network made",
            )
        weights[name] = stored[name]
    return weights


def start_digest(path: Path | None) -> Digest | Literal[""]:
    """Return the digest of the file that a run begins from; empty when it begins from nothing.

    Raises:
        UsageError: the file cannot be read.

    """
    if path is None:
        return ""
    try:
        return digest_of(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}", hint="--start takes an ONNX file"
        ) from error


def weights_digest(model: nn.Module) -> Digest:
    """Return the digest of all weights in the order of their names; equal exactly if every bit is."""
    state = model.state_dict()
    arrays = ((name, state[name].detach().cpu().contiguous().numpy()) for name in sorted(state))
    return digest_of(b"".join(name.encode() + b"\0" + array.tobytes() for name, array in arrays))
