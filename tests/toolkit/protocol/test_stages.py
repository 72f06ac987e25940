"""Stages are understood or refused in words, and fit a model before the first request comes."""

from __future__ import annotations

import msgspec
import pytest

from toolkit.errors import IntegrityError
from toolkit.protocol.stage_kinds import KINDS, Form
from toolkit.protocol.stages import fit_stages, known_keys, read_stages, unknown_stages
from toolkit.wire.manifest import Manifest, decode_manifest, encode_manifest
from toolkit.wire.stages import Stage, Stages

DECODE = Stage(name="decode-image", of=("image",), params={"channels": 1})
SMALL = Stage(name="resize", of=("image",), params={"height": 8, "width": 8})
RAW = Stage(name="picture", of=("image",), params={"height": 8, "width": 9})
ROW = Stage(name="normalise", of=("image",), into=("x",), params={"scale": 1 / 16})
BEST = Stage(name="argmax", of=("scores",), into=("label",), keep=True)
INPUTS = {"x": Form("float32", (None, 1, 8, 8))}
OUTPUTS = {"scores": Form("float32", (None, 10))}


def test_a_chain_tells_what_clients_send_and_get():
    plan = fit_stages(Stages(pre=(DECODE, SMALL, ROW), post=(BEST,)), INPUTS, OUTPUTS, "digits 1")
    assert plan.inputs == {"image": Form("uint8", (None,))}
    assert plan.outputs == {"scores": Form("float32", (None, 10)), "label": Form("int64", (None,))}


def test_without_stages_before_it_the_models_own_inputs_are_sent():
    inputs = {**INPUTS, "age": Form("float32", (None, 1))}
    assert fit_stages(Stages(post=(BEST,)), inputs, OUTPUTS, "digits 1").inputs == inputs
    plan = fit_stages(Stages(pre=(DECODE, SMALL, ROW)), inputs, OUTPUTS, "digits 1")
    assert list(plan.inputs) == ["image", "age"]


def test_a_client_may_send_a_picture_that_it_has_unpacked_itself():
    raw = Stage(name="picture", of=("image",), params={"channels": 1})
    plan = fit_stages(Stages(pre=(raw, SMALL, ROW)), INPUTS, OUTPUTS, "it")
    assert plan.inputs == {"image": Form("uint8", (None, None, 1))}


def changed(stage: Stage, **params: object) -> Stage:
    return msgspec.structs.replace(stage, params={**stage.params, **params})


@pytest.mark.parametrize(
    ("pre", "post", "says"),
    [
        ((Stage(name="decode-film", of=("image",)),), (), r"stage decode-film \(pre 1\): decode-film@1 is not"),
        ((Stage(name="resize", version=2, of=("image",)),), (), r"resize@2 is not known"),
        ((DECODE, Stage(name="resize", of=("image",), params={"height": 8}), ROW), (), r"\(pre 2\): params: .*width"),
        ((DECODE, changed(SMALL, height=0), ROW), (), r"params: .*>= 1.*height"),
        ((DECODE, changed(SMALL, height=1 << 20), ROW), (), r"params: .*<= 16384.*height"),
        ((DECODE, changed(SMALL, depth=8), ROW), (), r"params: .*depth"),
        ((DECODE, changed(SMALL, height="8"), ROW), (), r"params: .*int.*height"),
        ((DECODE, SMALL, changed(ROW, std=(0.0,))), (), r"std is \[0.0\]"),
        ((DECODE, SMALL, changed(ROW, mean=(1.0, 2.0))), (), "mean has 2 numbers for a picture of 1 channel"),
        ((DECODE, SMALL, changed(ROW, dtype="uint8")), (), "dtype uint8 takes no scale"),
        ((DECODE, ROW), (), r"the stages give 'x' as float32\[1, 1, \?, \?\]; the model takes float32\[\?, 1, 8, 8\]"),
        ((changed(DECODE, channels=3), SMALL, ROW), (), r"give 'x' as float32\[1, 3, 8, 8\]"),
        ((DECODE, SMALL), (), r"takes 'x'|the stages give 'image'; the model takes 'x'"),
        ((DECODE, SMALL, DECODE), (), r"\(pre 3\): it takes the bytes of a file, .* gets uint8\[8, 8, 1\]"),
        ((DECODE, SMALL, ROW, SMALL), (), "used up before; say `keep`"),
        ((Stage(name="softmax", of=("x",)),), (), r"\(pre 1\): nothing gives 'x'"),
        ((SMALL, ROW), (), r"stage resize \(pre 1\): nothing gives 'image'"),
        ((RAW, ROW), (), r"give 'x' as float32\[1, 3, 8, 9\]"),
        ((DECODE, RAW, SMALL, ROW), (), r"takes a picture, uint8\[8, 9, 3\], and gets uint8\[\?, \?, 1\]"),
        ((), (Stage(name="argmax", of=("logits",)),), r"\(post 1\): nothing gives 'logits'; there is scores"),
        ((), (Stage(name="argmax", of=("scores",), params={"axis": 2}),), r"an axis 2, and gets float32\[\?, 10\]"),
        ((), (Stage(name="argmax", of=("scores",), params={"axis": 0}),), r"params: .*>= 1"),
        ((), (BEST, BEST), r"\(post 2\): there is a 'label' already"),
        ((), (Stage(name="nms", of=("scores",)),), "it takes 2 and gives 3, not 1 and 1"),
        ((), (Stage(name="mask-to-rle", of=("scores",)),), "takes whole numbers"),
        ((Stage(name="decode-dicom", of=("image",), params={"window": (40.0,)}),), (), "window is"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_with_its_place(pre, post, says):
    with pytest.raises(IntegrityError, match=says):
        fit_stages(Stages(pre=pre, post=post), INPUTS, OUTPUTS, "digits 1")


def test_boxes_need_as_many_scores():
    nms = Stage(name="nms", of=("boxes", "scores"), into=("boxes", "scores", "classes"), params={"most": 5})
    outputs = {"boxes": Form("float32", (None, 100, 4)), "scores": Form("float32", (None, 3, 100))}
    plan = fit_stages(Stages(post=(nms,)), INPUTS, outputs, "it")
    assert plan.outputs["classes"] == Form("int64", (None, 5))
    outputs["scores"] = Form("float32", (None, 3, 99))
    with pytest.raises(IntegrityError, match="as many scores as boxes"):
        fit_stages(Stages(post=(nms,)), INPUTS, outputs, "it")


def test_a_machine_names_what_it_lacks():
    stages = Stages(pre=(DECODE, SMALL), post=(BEST,))
    assert unknown_stages(stages, known_keys()) == ()
    assert unknown_stages(stages, ("resize@1", "argmax@2")) == ("decode-image@1", "argmax@1")
    assert stages.key == "decode-image@1,resize@1|argmax@1"
    assert Stages().key == ""


def test_every_kind_has_its_name_once():
    assert {kind.NAME for kind in KINDS.values()} == set(KINDS)
    read_stages(Stages(), "nothing")


MANIFEST = Manifest(
    kind="model", name="digits", version="1", counter=1, index="a" * 64, index_bytes=1, total_bytes=1, chunks=1,
    model_file="model.onnx", stages=Stages(pre=(DECODE, SMALL, ROW), post=(BEST,)),
)  # fmt: skip


def test_a_manifest_carries_them_and_only_then_is_of_format_3():
    assert decode_manifest(encode_manifest(MANIFEST)[1])[1] == MANIFEST
    assert MANIFEST.format == 3
    assert msgspec.structs.replace(MANIFEST, stages=Stages(), format=0).format == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "plan", "model_file": ""}, "stages, which only models have"),
        ({"stages": Stages(pre=(DECODE,) * 17)}, "17 stages pre"),
        ({"stages": Stages(post=(Stage(name="Argmax", of=("x",)),))}, "which is no stage"),
        ({"stages": Stages(post=(Stage(name="argmax", of=()),))}, "takes no tensor"),
        ({"stages": Stages(post=(Stage(name="argmax", of=("x" * 201,)),))}, "a long one"),
        (
            {"stages": Stages(pre=(changed(DECODE, **{f"p{n}": 1 for n in range(17)}),))},
            "more than 16 params",
        ),
    ],
)
def test_a_manifest_with_stages_that_are_none_is_not_read(change, says):
    broken = msgspec.structs.replace(MANIFEST, format=0, **change)
    with pytest.raises(IntegrityError, match=says):
        decode_manifest(encode_manifest(broken)[1])
