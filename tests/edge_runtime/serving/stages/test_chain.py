"""The stages of a version as they run: in order, around its engine, with whose fault it is when one cannot go on."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from edge_runtime.engine.base import TensorSpec
from edge_runtime.serving.refusals import BadRequestError
from edge_runtime.serving.stages.chain import FUNCTIONS, Chain, UnfitStagesError, own_stages
from toolkit.errors import EngineError
from toolkit.protocol.stage_kinds import KINDS
from toolkit.protocol.stages import known_keys
from toolkit.wire.stages import Stage, Stages

F32 = np.dtype(np.float32)
INPUTS = (TensorSpec("x", F32, (None, 1, 2, 2)),)
OUTPUTS = (TensorSpec("scores", F32, (None, 3)),)
STAGES = Stages(
    pre=(
        Stage(name="decode-image", of=("image",), params={"channels": 1}),
        Stage(name="resize", of=("image",), params={"height": 2, "width": 2, "method": "nearest"}),
        Stage(name="normalise", of=("image",), into=("x",), params={"scale": 0.5}),
    ),
    post=(Stage(name="argmax", of=("scores",), into=("label",), keep=True),),
)


def png(pixels: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return np.frombuffer(buffer.getvalue(), np.uint8)


def chain(stages: Stages = STAGES) -> Chain:
    return Chain(stages, INPUTS, OUTPUTS, "it")


def test_each_stage_takes_what_the_one_before_gave():
    made = chain()
    assert list(map(str, made.inputs)) == ["image uint8[?]"]
    assert list(map(str, made.outputs)) == ["scores float32[?, 3]", "label int64[?]"]
    pixels = np.array([[2, 4], [6, 8]], np.uint8).repeat(2, axis=0)
    sent = {"image": png(pixels)}
    tensors = made.before(sent)
    assert list(tensors) == ["x"]
    np.testing.assert_array_equal(tensors["x"], [[[[1, 2], [3, 4]]]])
    assert list(sent) == ["image"]
    scores = np.array([[1, 9, 2]], np.float32)
    given = made.after({"scores": scores})
    assert given["scores"] is scores
    np.testing.assert_array_equal(given["label"], [1])


def test_what_a_client_sent_is_its_fault_and_names_the_stage():
    with pytest.raises(
        BadRequestError, match="stage decode-image: input 'image' is neither a PNG nor a JPEG"
    ):
        chain().before({"image": np.zeros(9, np.uint8)})


def test_what_a_model_gave_is_the_models_fault():
    stages = Stages(post=(Stage(name="nms", of=("boxes", "scores"), into=("boxes", "scores", "classes")),))
    outputs = (TensorSpec("boxes", F32, (None, None, 4)), TensorSpec("scores", F32, (None, 2, None)))
    with pytest.raises(EngineError, match="stage nms: the model gave"):
        Chain(stages, INPUTS, outputs, "it").after(
            {"boxes": np.zeros((1, 5, 4), np.float32), "scores": np.zeros((1, 2, 4), np.float32)}
        )
    with pytest.raises(EngineError, match="stage argmax: the model gave"):
        chain().after({"scores": np.zeros((4, 0), np.float32)})


def test_a_stage_that_fails_says_so_and_nothing_of_the_data(caplog):
    made = chain()
    step, _ = made._pre[1]

    def out_of_memory(*_: object) -> None:
        raise MemoryError("Doe^Jane")

    made._pre[1] = (step, out_of_memory)
    with pytest.raises(EngineError, match="stage resize failed: MemoryError"):
        made.before({"image": png(np.zeros((4, 4), np.uint8))})
    assert "Doe" not in caplog.text
    assert "stage resize failed" in caplog.text


def test_stages_that_do_not_fit_are_refused_when_they_are_laid():
    with pytest.raises(UnfitStagesError, match=r"it: stage softmax \(pre 1\): nothing gives"):
        chain(Stages(pre=(Stage(name="softmax", of=("x",)),)))


def test_every_kind_is_computed_here():
    assert set(FUNCTIONS) == set(KINDS)
    assert own_stages() == set(known_keys())
