"""The model as every peer runs it, with the settings of ours; imported in the peers' environment, which has no onnx."""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime

OUTPUT = "scores"


class Model:
    """An ONNX Runtime session on one thread."""

    def __init__(self, arguments: list[str] | None = None) -> None:
        """Load the model that the command line names: MODEL MAX_BATCH DTYPE AXES, axes of one image with commas."""
        file, max_batch, dtype, axes = (arguments or sys.argv[1:])[:4]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.max_batch = int(max_batch)
        self.dtype = np.dtype(dtype)
        self.shape = tuple(int(axis) for axis in axes.split(","))

    def image(self, data: bytes) -> np.ndarray:
        """Take an image's bytes, without a batch axis."""
        return np.frombuffer(data, self.dtype).reshape(self.shape)

    def run(self, images: np.ndarray) -> np.ndarray:
        """Give the scores of a batch."""
        scores: np.ndarray = self.session.run([OUTPUT], {"image": images})[0]
        return scores
