"""An artifact is complete when its metrics are there, and never before."""

import pytest

from cloud_jobs.metrics import leave_artifact
from toolkit.wire.digest import digest_of
from toolkit.wire.job import Metrics, decode_metrics

MEASURED = Metrics(
    recipe="r", metric="accuracy", score=0.5, loss=1.0, held_out=2, steps=3, seconds=1.0, world_size=2, seed=0,
    backend="gloo", weights=digest_of(b"weights"),
)  # fmt: skip


def test_metrics_name_the_digest_of_each_file_and_the_versions(tmp_path):
    leave_artifact(tmp_path / "out", {"model.onnx": b"model"}, MEASURED)
    read = decode_metrics((tmp_path / "out" / "metrics.json").read_bytes(), what="metrics")
    assert read.files == {"model.onnx": digest_of(b"model")}
    assert set(read.versions) == {"torch", "onnx", "onnxruntime", "numpy"}
    assert read.score == 0.5


def test_an_interrupted_artifact_has_no_metrics(tmp_path):
    leave_artifact(tmp_path, {"model.onnx": b"old"}, MEASURED)
    (tmp_path / "sub").mkdir()
    with pytest.raises(IsADirectoryError):
        leave_artifact(tmp_path, {"model.onnx": b"new", "sub": b"cannot be written"}, MEASURED)
    assert not (tmp_path / "metrics.json").exists()
    assert not list(tmp_path.glob(".*.part"))
