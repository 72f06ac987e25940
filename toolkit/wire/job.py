"""What a job and the one who started it agree on: names of variables, names of files, and the metrics document.

`jobs` and `render` set the variables; `cloud_jobs` reads them, leaves the files in the output folder and the metrics
last of all, so that a folder with metrics is complete. `jobs.local` and `registry.push` read them back.
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from toolkit.errors import IntegrityError
from toolkit.wire.digest import Digest, parse_digest
from toolkit.wire.document import Document, decode_json, encode_json

OUTPUT_VARIABLE: Final = "TIERS_OUTPUT"
"""Folder for the job's artifact."""
CHECKPOINTS_VARIABLE: Final = "TIERS_CHECKPOINTS"
"""Folder for checkpoints; on storage that every worker sees and that outlives the pods."""
CHECKPOINT_SECONDS_VARIABLE: Final = "TIERS_CHECKPOINT_SECONDS"
"""Seconds between two checkpoints."""
DATA_VARIABLE: Final = "TIERS_DATA"
"""Folder with staged data."""
READS_VARIABLE: Final = "TIERS_READS"
"""Socket on which a worker asks for a file of its data; set where data come ahead of need."""

METRICS_FILE: Final = "metrics.json"
MODEL_FILE: Final = "model.onnx"
GOLDEN_FILE: Final = "golden.npz"

EVICTED_EXIT_CODE: Final = 143
"""A worker that was told to go (128 + SIGTERM), saved its state and may be started again."""


class Metrics(Document, frozen=True, kw_only=True):
    """What a training run measured, and the digests of the files it describes."""

    FORMAT: ClassVar[int] = 1
    recipe: str
    metric: str
    """Name of `score`: accuracy or dice."""
    score: float
    """Mean over the held-out samples, 0 to 1."""
    loss: float
    """Mean over the held-out samples."""
    held_out: int
    """Number of samples that were scored and never trained on."""
    steps: int
    resumed_at_step: int = 0
    """Step of the checkpoint that this run began from; 0: from the start."""
    seconds: float
    """Wall time from the first step of this run to the last."""
    world_size: int
    seed: int
    backend: str
    started_from: str = ""
    """Digest of the ONNX file whose weights the run began with; empty: from nothing."""
    weights: Digest
    """Digest of all trained weights, in the order of their names."""
    files: dict[str, Digest] = msgspec.field(default_factory=dict)
    """Digest of each file beside the metrics."""
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    """Versions of the packages that decide the result."""


def encode_metrics(metrics: Metrics) -> bytes:
    """Give the document's bytes."""
    return encode_json(metrics)


def decode_metrics(data: bytes, *, what: str) -> Metrics:
    """Read a metrics document.

    Args:
        data: the bytes of the file.
        what: how to name it in an error, best its path.

    Raises:
        IntegrityError: it is damaged, of a newer format, or says what cannot be.
    """
    metrics = decode_json(data, Metrics, what=what)
    if not 0 <= metrics.score <= 1:
        raise IntegrityError(f"{what}: {metrics.metric} {metrics.score} is not between 0 and 1")
    parse_digest(metrics.weights, what=f"{what}: weights")
    for name, digest in metrics.files.items():
        parse_digest(digest, what=f"{what}: {name[:70]}")
    return metrics
