"""Leave the artifact: model, golden inputs, and last of all the metrics, so that a folder with metrics is complete.

Flow: trainer, export and golden -> `leave_artifact` -> model.onnx, golden.npz, metrics.json -> `tiers model push`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import msgspec

from cloud_jobs.gang import Gang
from cloud_jobs.recipes.config import Config
from cloud_jobs.trainer import Scores, Trained
from cloud_jobs.weights import weights_digest
from toolkit.sync.whole import write_whole
from toolkit.wire.digest import digest_of
from toolkit.wire.job import METRICS_FILE, Metrics, encode_metrics

DECISIVE_PACKAGES = ("torch", "onnx", "onnxruntime", "numpy")
"""Packages whose version can change a result in its last digits."""


def measured_by(
    config: Config, trained: Trained, scores: Scores, gang: Gang, *, seed: int, begun_from: str
) -> Metrics:
    """Put the figures of a run into one document; `leave_artifact` adds files and versions."""
    return Metrics(
        recipe=config.recipe,
        metric=config.metric,
        score=scores.score,
        loss=scores.loss,
        held_out=scores.held_out,
        steps=trained.step,
        resumed_at_step=trained.resumed_at_step,
        seconds=round(trained.seconds, 3),
        world_size=gang.place.world_size,
        seed=seed,
        backend=gang.backend,
        started_from=begun_from,
        weights=weights_digest(trained.model),
    )


def leave_artifact(folder: Path, files: Mapping[str, bytes], measured: Metrics) -> Metrics:
    """Write files and metrics, each whole or not at all, and return the metrics as written.

    Args:
        folder: made when it is missing; what an earlier run left under the same names is replaced.
        files: name -> bytes.
        measured: the figures; digests of the files and versions of the packages are filled in here.

    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / METRICS_FILE).unlink(missing_ok=True)  # from here to the last line the folder is incomplete
    metrics = msgspec.structs.replace(
        measured,
        files={name: digest_of(data) for name, data in files.items()},
        versions={name: version(name) for name in DECISIVE_PACKAGES},
    )
    for name, data in files.items():
        write_whole(folder / name, data)
    write_whole(folder / METRICS_FILE, encode_metrics(metrics))
    return metrics
