"""Golden inputs go in before the stages: what is proven is what clients get."""

from __future__ import annotations

import io
from pathlib import Path
from queue import Queue

import msgspec
import numpy as np
import pytest

from edge_runtime.golden import Finding, _parser, check
from edge_runtime.trial import Trial, Trials
from tests.edge_runtime.conftest import golden_file, linear_model
from tests.edge_runtime.pictures import (
    ROWS_STAGES,
    STAGES,
    WEIGHTS,
    answers,
    filled,
    golden_pictures,
    picture_model,
    pixels,
    png,
)
from toolkit.wire.device_config import ModelConfig
from toolkit.wire.manifest import Golden, Manifest, Requires
from toolkit.wire.stages import Stage, Stages

MANIFEST = Manifest(
    kind="model", name="pictures", version="v1", counter=1, index="0" * 64, index_bytes=1, total_bytes=1000, chunks=1,
    model_file="model.onnx", golden=Golden(file="golden.npz", min_accuracy=0.9), stages=STAGES,
)  # fmt: skip
PIXELS = pixels(6)
SCORES, LABELS = answers(PIXELS)


def run(
    folder: Path, examples: bytes, model: bytes | None = None, *, child: bool = False, **changes: object
) -> Finding:
    (folder / "model.onnx").write_bytes(picture_model() if model is None else model)
    (folder / "golden.npz").write_bytes(examples)
    manifest = msgspec.structs.replace(MANIFEST, **changes)
    trial = Trial("pictures", folder, manifest, ModelConfig(name="pictures"))
    if child:
        found: Queue[Finding] = Queue()
        Trials(lambda call: call()).start(trial, found.put)
        return found.get(timeout=120)
    return check(_parser().parse_args(trial.command()[3:]))  # the same without a process of its own


def packed(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name.replace("__", "."): array for name, array in arrays.items()})
    return buffer.getvalue()


def test_files_of_different_lengths_pass_with_their_figures(tmp_path: Path) -> None:
    finding = run(tmp_path, golden_pictures(20), child=True, requires=Requires(p95_seconds=60))
    assert finding.code == "", finding
    assert (finding.examples, finding.accuracy) == (20, 1.0)
    assert 0 < finding.p95_seconds < 60
    assert finding.peak_bytes > 1 << 20


def test_stages_after_the_engine_alone_leave_the_rows_to_the_model(tmp_path: Path) -> None:
    golden = packed(
        input__x=PIXELS[:, None].astype(np.float32) / 64,
        output__label=LABELS,
        output__scores=SCORES,
        labels=LABELS,
    )
    finding = run(tmp_path, golden, stages=ROWS_STAGES)
    assert (finding.code, finding.accuracy) == ("", 1.0), finding


def test_a_label_alone_can_be_what_is_right(tmp_path: Path) -> None:
    label = Stages(pre=STAGES.pre, post=(Stage(name="argmax", of=("scores",), into=("label",)),))
    files, lengths = filled([png(each) for each in PIXELS])
    arrays = {"input__image": files, "length__input__image": lengths, "output__label": LABELS}
    assert run(tmp_path, packed(**arrays, labels=LABELS), stages=label).accuracy == 1.0
    wrong = run(tmp_path, packed(**arrays, labels=(LABELS + 1) % 3), stages=label)
    assert wrong.code == "golden-accuracy"


def test_outputs_of_different_lengths_are_compared_as_long_as_they_are(tmp_path: Path) -> None:
    runs = Stages(
        pre=STAGES.pre,
        post=(
            Stage(name="argmax", of=("mask",), into=("classes",)),
            Stage(name="mask-to-rle", of=("classes",), into=("runs",)),
        ),
    )
    masks = np.array([[[0, 0], [0, 0]], [[0, 255], [255, 0]]], np.uint8)
    files, lengths = filled([png(each) for each in masks])
    expected = np.array([[4, 9, 9], [1, 2, 1]], np.uint32)
    arrays = {"input__image": files, "length__input__image": lengths, "output__runs": expected}
    lengths_out = np.array([1, 3])
    model = mask_model()
    manifest = {"stages": runs, "golden": Golden(file="golden.npz")}
    good = run(tmp_path, packed(**arrays, length__output__runs=lengths_out), model, **manifest)
    assert good.code == "", good
    bad = run(tmp_path, packed(**arrays, length__output__runs=lengths_out[::-1]), model, **manifest)
    assert bad.code == "golden-mismatch"
    assert "output 'runs' of example 0 has shape (1,), not (3,)" in bad.reason


def mask_model() -> bytes:
    """ONNX: two classes a pixel, of which the second wins where x is above 1."""
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Sub", ["x", "one"], ["second"]), helper.make_node("Neg", ["second"], ["first"]),
         helper.make_node("Concat", ["first", "second"], ["mask"], axis=1)],
        "masks",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 2, 2])],
        [helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n", 2, 2, 2])],
        [numpy_helper.from_array(np.array(1, np.float32), "one")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("golden", "changes", "code", "says"),
    [
        (golden_pictures(), {"stages": Stages(pre=STAGES.pre[::2])}, "stages-unfit", "the stages give 'x' as"),
        (golden_pictures(), {"stages": Stages()}, "golden-mismatch", "no output 'label'"),
        (golden_pictures(output__label=LABELS + 1), {}, "golden-mismatch", "6 of 6 values of output 'label'"),
        (golden_pictures(input__image=np.zeros((6, 99), np.uint8), length__input__image=np.full(6, 9)), {},
         "golden-unusable", "stage decode-image: input 'image' is neither a PNG"),
        (golden_pictures(length__input__image=np.full(6, 1 << 20)), {}, "golden-unusable", "goes beyond input.image"),
        (golden_pictures(length__input__image=np.full(5, 1)), {}, "golden-unusable", "for each example"),
        (golden_pictures(length__input__film=np.full(6, 1)), {}, "golden-unusable", "length.input.film"),
        (golden_pictures(input__image=np.zeros((6, 3, 3), np.uint8), length__input__image=np.full(6, 3)), {},
         "golden-failed", "expected image uint8[?]"),
        (golden_pictures(), {"requires": Requires(p95_seconds=1e-7)}, "golden-slow", "0.0001 ms are allowed"),
        (packed(input__x=PIXELS[:0], output__label=LABELS[:0]), {}, "golden-unusable", "no example"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_stages_has_a_code_and_a_reason(tmp_path, golden, changes, code, says) -> None:
    finding = run(tmp_path, golden, **changes)
    assert finding.code == code, finding
    assert says in finding.reason


def test_other_weights_are_found_through_the_stages(tmp_path: Path) -> None:
    finding = run(tmp_path, golden_pictures(), picture_model(WEIGHTS * 1.01))
    assert finding.code == "golden-mismatch"
    assert "output 'scores' differ" in finding.reason


def test_a_model_without_stages_can_be_timed_too(tmp_path: Path) -> None:
    slow = {"stages": Stages(), "requires": Requires(p95_seconds=1e-7)}
    assert run(tmp_path, golden_file(1.0), linear_model(1.0), **slow).code == "golden-slow"
