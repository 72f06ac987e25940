"""The carried models do what their README and metrics say; measured with ONNX Runtime, without PyTorch."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from toolkit.wire.chunk import ARTIFACT, cut
from toolkit.wire.digest import digest_of

FOLDER = Path(__file__).parents[2] / "examples" / "models" / "digits"
METRICS = json.loads((FOLDER / "metrics.json").read_text())


def answers(version, images):
    session = onnxruntime.InferenceSession(FOLDER / f"{version}.onnx", providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"image": images})[0]


def accuracy(version):
    with np.load(FOLDER / "heldout.npz", allow_pickle=False) as held_out:
        return float((answers(version, held_out["images"]).argmax(axis=1) == held_out["labels"]).mean())


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_accuracy_is_what_the_metrics_say(version):
    measured = accuracy(version)
    assert measured >= 0.97
    assert measured == pytest.approx(METRICS[version]["score"])
    assert f"**{measured:.1%}**".replace("%", " %") in (FOLDER / "README.md").read_text()


def test_v2_is_at_least_as_good_as_v1():
    assert accuracy("v2") >= accuracy("v1")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_golden_answers_are_those_of_the_model(version):
    with np.load(FOLDER / f"{version}.golden.npz", allow_pickle=False) as golden:
        assert set(golden) == {"input.image", "output.logits", "labels"}
        np.testing.assert_allclose(
            answers(version, golden["input.image"]), golden["output.logits"], atol=1e-4
        )
        assert len(golden["labels"]) == len(golden["input.image"])


def test_the_versions_give_different_answers_to_the_golden_inputs():
    with np.load(FOLDER / "v1.golden.npz") as one, np.load(FOLDER / "v2.golden.npz") as two:
        np.testing.assert_array_equal(one["input.image"], two["input.image"])
        assert np.abs(one["output.logits"] - two["output.logits"]).max() > 0.1


def test_files_are_those_that_were_measured():
    for version, metrics in METRICS.items():
        assert digest_of((FOLDER / f"{version}.onnx").read_bytes()) == metrics["files"]["model.onnx"]
        assert digest_of((FOLDER / f"{version}.golden.npz").read_bytes()) == metrics["files"]["golden.npz"]
    assert METRICS["v2"]["started_from"] == METRICS["v1"]["files"]["model.onnx"]


def test_v2_ships_as_a_small_part_of_v1():
    v1, v2 = ((FOLDER / f"{version}.onnx").read_bytes() for version in ("v1", "v2"))
    known = {digest_of(chunk) for chunk in cut(v1, ARTIFACT)}
    changed = [len(chunk) for chunk in cut(v2, ARTIFACT) if digest_of(chunk) not in known]
    assert changed, "v2 differs from v1"
    assert sum(changed) <= 0.35 * len(v1)
    assert f"{sum(changed):,}".replace(",", " ") in (FOLDER / "README.md").read_text()
