"""Weights come out of an ONNX file as they went in, or with a reason why not."""

import pytest
import torch

from cloud_jobs.export import export
from cloud_jobs.models.digits_cnn import DigitsCnn
from cloud_jobs.weights import read_weights, start_digest, weights_digest
from toolkit.errors import UsageError
from toolkit.wire.digest import digest_of


def test_the_digest_is_of_every_bit():
    model = DigitsCnn()
    before = weights_digest(model)
    assert before == weights_digest(model)
    with torch.no_grad():
        model.head.bias[0] = torch.nextafter(model.head.bias[0], torch.tensor(9.0))
    assert weights_digest(model) != before


def test_a_file_that_is_no_onnx_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(UsageError, match=f"{path} is no ONNX file"):
        read_weights(path, DigitsCnn())
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(UsageError, match=f"{path} is no ONNX file"):
        read_weights(path, DigitsCnn())


def test_a_model_of_another_shape_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(export(DigitsCnn(), torch.rand(1, 1, 8, 8)))
    other = DigitsCnn()
    other.head = torch.nn.Linear(64, 3)
    with pytest.raises(UsageError, match=r"head.weight should be \(3, 64\) and is \(10, 64\)"):
        read_weights(path, other)
    other.tail = torch.nn.Linear(3, 3)
    other.head = torch.nn.Linear(64, 10)
    with pytest.raises(UsageError, match=r"tail.weight should be \(3, 3\) and is missing"):
        read_weights(path, other)


def test_where_a_run_begins_is_named_by_digest(tmp_path):
    assert start_digest(None) == ""
    (tmp_path / "model.onnx").write_bytes(b"model")
    assert start_digest(tmp_path / "model.onnx") == digest_of(b"model")
    with pytest.raises(UsageError, match="cannot read"):
        start_digest(tmp_path / "missing.onnx")
