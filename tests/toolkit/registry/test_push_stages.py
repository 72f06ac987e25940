"""A push with stages finds what would fail on every device: unknown steps, shapes, examples that go in elsewhere."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.edge_runtime.pictures import (
    STAGES,
    answers,
    filled,
    golden_pictures,
    picture_model,
    pixels,
    png,
)
from tests.toolkit.registry.making import Site, make_model
from toolkit.errors import IntegrityError, RegistryError
from toolkit.registry.catalogue import open_model
from toolkit.registry.push import PushRequest, push
from toolkit.registry.show import describe_stages, show_model
from toolkit.registry.stages_file import read_stages_file
from toolkit.wire.stages import Stage, Stages

PIXELS = pixels(6)
SCORES, LABELS = answers(PIXELS)
GREY = Stage(name="picture", of=("image",), params={"channels": 1})
SHARES = Stage(name="softmax", of=("scores",))
FILES, LENGTHS = filled([png(each) for each in PIXELS])


def request(
    folder: Path, golden: bytes | None = None, stages: Stages = STAGES, **more: object
) -> PushRequest:
    (folder / "pictures.onnx").write_bytes(picture_model())
    (folder / "pictures.npz").write_bytes(golden_pictures() if golden is None else golden)
    return PushRequest(
        folder / "pictures.onnx", folder / "pictures.npz", "pictures", "1", stages=stages, **more
    )


def packed(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name.replace("__", "."): array for name, array in arrays.items()})
    return buffer.getvalue()


def test_what_was_declared_is_what_is_signed(site: Site, tmp_path: Path) -> None:
    pushed = push(site.store, request(tmp_path), site.key)
    manifest = open_model(site.store, "pictures", "1", site.keyring).manifest
    assert manifest.stages == STAGES
    assert manifest.format == 3
    assert push(site.store, request(tmp_path), site.key).repeated
    with pytest.raises(RegistryError, match="other requirements or checks"):
        push(
            site.store,
            request(tmp_path, stages=Stages(pre=STAGES.pre, post=(*STAGES.post, SHARES))),
            site.key,
        )
    shown = show_model(site.store, "pictures", "1", keyring=site.keyring)
    assert (shown.problem, shown.manifest, shown.artifact) == ("", manifest, pushed.artifact)
    assert list(describe_stages(manifest)) == [
        ("pre 1", "decode-image@1: image; channels 1"),
        ("pre 2", "resize@1: image; height 2, method nearest, width 2"),
        ("pre 3", "normalise@1: image → x; scale 0.015625"),
        ("post 1", "argmax@1: scores → label (kept)"),
    ]


@pytest.mark.parametrize(
    ("golden", "stages", "says"),
    [
        (None, Stages(pre=(GREY, *STAGES.pre[1:]), post=STAGES.post), r"input.image is uint8\[\d+\]; with the stages"),
        (None, Stages(pre=(STAGES.pre[0], STAGES.pre[2])), "the stages give 'x' as float32"),
        (None, Stages(post=(Stage(name="argmax", of=("label",)),)), "nothing gives 'label'"),
        (None, Stages(pre=STAGES.pre), "expects label; the model gives scores"),
        (None, Stages(), "length.input.image, which goes with stages"),
        (packed(input__x=PIXELS[:, None], output__scores=SCORES), STAGES, "feeds x; the model asks for image"),
        (packed(input__image=FILES.astype(np.float32), output__scores=SCORES), STAGES, "has to be uint8"),
        (packed(input__image=FILES[:, None], output__scores=SCORES), STAGES, r"input.image is uint8\[1, \d+\]"),
        (packed(input__image=FILES, output__label=LABELS.astype(np.int32)), STAGES, "output.label is int32"),
        (packed(input__image=FILES, output__scores=SCORES[:, :2]), STAGES, r"float32\[2\]; .* float32\[\?, 3\]"),
        (packed(input__image=FILES, output__scores=SCORES[:5]), STAGES, "different numbers of examples"),
        (packed(input__image=FILES, output__scores=SCORES, length__input__image=LENGTHS * 1.0), STAGES, "whole number"),
        (packed(input__image=FILES, output__scores=SCORES, labels=np.array(["a"] * 6)), STAGES, "no array of numbers"),
    ],
)  # fmt: skip
def test_what_would_fail_on_every_device_fails_here(site: Site, tmp_path: Path, golden, stages, says) -> None:
    with pytest.raises(IntegrityError, match=says):
        push(site.store, request(tmp_path, golden, stages), site.key)
    assert not site.store.list_refs("models/")


def test_a_model_that_hides_its_shapes_takes_no_stages(site: Site, tmp_path: Path) -> None:
    wanted = request(tmp_path)
    model = onnx.load(wanted.model)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, wanted.model)
    with pytest.raises(IntegrityError, match="does not say what shape 'scores' has"):
        push(site.store, wanted, site.key)


def test_a_plain_model_is_pushed_as_before(site: Site, tmp_path: Path) -> None:
    model, golden = make_model(tmp_path)
    push(site.store, PushRequest(model, golden, "small", "1"), site.key)
    assert open_model(site.store, "small", "1", site.keyring).manifest.format == 1


def test_a_file_of_stages_is_read_as_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "stages.json"
    text = {"pre": [{"name": "decode-image", "of": ["image"], "params": {"channels": 1}}]}
    file.write_text(json.dumps(text))
    assert read_stages_file(file) == Stages(pre=STAGES.pre[:1])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "stages.json: "),
        ('{"before": []}', "before"),
        ('{"pre": [{"name": "decode-image"}]}', r"`of` - at `\$\.pre\[0\]`"),
        ('{"pre": [{"name": "decode-film", "of": ["x"]}]}', r"stage decode-film \(pre 1\).*not known"),
        (
            '{"pre": [{"name": "resize", "of": ["x"], "params": {"height": 2}}]}',
            r"stage resize \(pre 1\): params: .*width",
        ),
        (" " * 70_000, "more than 65536 bytes"),
    ],
)
def test_another_file_is_refused_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "stages.json"
    file.write_text(text)
    with pytest.raises(IntegrityError, match=says):
        read_stages_file(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="No such file"):
        read_stages_file(tmp_path / "none.json")
