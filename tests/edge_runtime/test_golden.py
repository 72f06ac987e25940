"""The golden check in its child process: what is right passes, and whatever else happens has a code and a reason."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from pathlib import Path
from queue import Queue

import numpy as np
import pytest
from onnx import TensorProto, helper

from edge_runtime.golden import Finding
from edge_runtime.trial import Trial, Trials, watch
from tests.edge_runtime.conftest import golden_file, linear_model
from toolkit.wire.device_config import ModelConfig
from toolkit.wire.manifest import Golden, Manifest

MANIFEST = Manifest(
    kind="model",
    name="linear",
    version="v1",
    counter=1,
    index="0" * 64,
    index_bytes=1,
    total_bytes=1000,
    chunks=1,
    model_file="model.onnx",
    golden=Golden(file="golden.npz", min_accuracy=1.0),
)


def archive(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name.replace("_", "."): array for name, array in arrays.items()})
    return buffer.getvalue()


def run(folder: Path, model: bytes, golden: bytes, manifest: Manifest = MANIFEST) -> Finding:
    (folder / "model.onnx").write_bytes(model)
    (folder / "golden.npz").write_bytes(golden)
    found: Queue[Finding] = Queue()
    trials = Trials(lambda call: call())
    trials.start(Trial("linear", folder, manifest, ModelConfig(name="linear")), found.put)
    return found.get(timeout=120)


def test_a_model_that_computes_the_same_passes_with_its_figures(tmp_path: Path) -> None:
    finding = run(tmp_path, linear_model(2.0), golden_file(2.0, count=40))
    assert finding.code == ""
    assert (finding.examples, finding.accuracy) == (40, 1.0)
    assert finding.worst_difference < 1e-5
    assert finding.seconds > 0


IMAGES = np.ones((4, 4), np.float32)
SCORES = IMAGES @ np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.mark.parametrize(
    ("model", "golden", "code", "says"),
    [
        (linear_model(1.0), golden_file(1.01), "golden-mismatch", "output 'scores' differ"),
        (b"no model", golden_file(1.0), "load-failed", "model.onnx"),
        (b"", golden_file(1.0), "load-failed", "model.onnx"),
        (linear_model(1.0), b"no archive", "golden-unusable", "cannot be read"),
        (linear_model(1.0), archive(input_image=IMAGES), "golden-unusable", "output.NAME"),
        (
            linear_model(1.0),
            archive(input_image=IMAGES, output_scores=SCORES[:3]),
            "golden-unusable",
            "same number of examples",
        ),
        (
            linear_model(1.0),
            archive(input_image=IMAGES, output_scores=SCORES),
            "golden-unusable",
            "no labels",
        ),
        (
            linear_model(1.0),
            archive(input_image=IMAGES, output_scores=SCORES * np.nan, labels=np.full(4, 2)),
            "golden-mismatch",
            "differ",
        ),
        (
            linear_model(1.0),
            archive(input_image=IMAGES, output_scores=SCORES, labels=np.array([2, 2, 2, 0])),
            "golden-accuracy",
            "0.7500",
        ),
        (
            linear_model(1.0),
            archive(input_picture=IMAGES, output_scores=SCORES, labels=np.full(4, 2)),
            "golden-failed",
            "picture",
        ),
        (
            linear_model(1.0),
            archive(input_image=IMAGES, output_other=SCORES, labels=np.full(4, 2)),
            "golden-mismatch",
            "no output 'other'",
        ),
        (
            linear_model(1.0, fragile=True),
            archive(input_image=IMAGES * 9, output_scores=SCORES * 9, labels=np.full(4, 2)),
            "golden-failed",
            "out of data bounds",
        ),
    ],
)
def test_what_is_wrong_has_a_code_and_a_reason(
    tmp_path: Path, model: bytes, golden: bytes, code: str, says: str
) -> None:
    finding = run(tmp_path, model, golden)
    assert finding.code == code, finding
    assert says in finding.reason


def greedy_model() -> bytes:
    """A small file that makes a tensor of 16 GB when it runs."""
    side = helper.make_tensor("side", TensorProto.INT64, [2], [1 << 16, 1 << 16])
    nodes = [
        helper.make_node("ConstantOfShape", ["side"], ["wide"]),
        helper.make_node("ReduceSum", ["wide"], ["total"], keepdims=0),
        helper.make_node("Add", ["image", "total"], ["scores"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 4])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph(nodes, "greedy", [image], [scores], [side])
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def test_a_model_that_wants_more_memory_than_it_may_is_refused(tmp_path: Path) -> None:
    finding = run(tmp_path, greedy_model(), golden_file(1.0))
    assert finding.code == "golden-memory", finding


def python(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize(
    ("code", "expected", "says"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "golden-crashed", "SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "golden-interrupted", "outside"),
        ("raise MemoryError('too much')", "golden-memory", "too much"),
        ("raise RuntimeError('surprise')", "golden-crashed", "surprise"),
        ("print('hello')", "golden-crashed", "nothing that can be read"),
        ("import threading; threading.Event().wait()", "golden-timeout", "0.5 s"),
    ],
)
def test_whatever_the_child_does_is_a_finding(code: str, expected: str, says: str) -> None:
    finding = watch(python(code), 0.5 if expected == "golden-timeout" else 120)
    assert finding.code == expected
    assert says in finding.reason


def test_a_check_that_is_stopped_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(linear_model(1.0))
    (tmp_path / "golden.npz").write_bytes(golden_file(1.0))
    ended = threading.Event()
    trials = Trials(lambda call: call())
    trials.start(Trial("linear", tmp_path, MANIFEST, ModelConfig(name="linear")), lambda _: ended.set())
    trials.close()
    assert ended.wait(60)
