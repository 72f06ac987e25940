from __future__ import annotations

import hashlib
import os
import struct
import threading

import msgspec
import numpy as np
import pytest

from edge_runtime.engine.base import TensorSpec
from edge_runtime.engine.plan import (
    MAGIC,
    START,
    PlanHeader,
    PlanKey,
    PlanRefusedError,
    Plans,
    keep_specs,
    model_digest,
    read_specs,
)
from tests.contracts.engine import contract_model, scale_model
from tests.edge_runtime.engine.test_weights import sharded
from toolkit.errors import EngineError, StoreError

PLAN = b"executable code" * 100
KEY = PlanKey(
    model="ab" * 32,
    settings="00",
    tensorrt="10.3.0",
    capability="8.7",
    gpu="Orin",
    device_model="NVIDIA Jetson Orin NX",
    l4t="36.4.3",
    driver=12060,
    architecture="aarch64",
)
SPECS = (TensorSpec("x", np.dtype(np.float16), (None, 3)), TensorSpec("k", np.dtype(np.int64), ()))


def header_of(plan=PLAN, key=KEY, **changes):
    kept = keep_specs(SPECS)
    header = PlanHeader(
        key=key,
        inputs=kept,
        outputs=kept,
        buckets=(1, 2),
        plan_bytes=len(plan),
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        seconds=1.0,
    )
    return msgspec.structs.replace(header, **changes)


@pytest.fixture
def plans(tmp_path):
    return Plans(tmp_path / "plans")


def test_a_plan_comes_back_with_its_header(plans):
    file = plans.store(header_of(), PLAN)
    assert plans.load(KEY) == (header_of(), PLAN)
    assert read_specs(header_of().inputs) == SPECS
    assert file.stat().st_mode & 0o777 == 0o600
    assert plans.folder.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in plans.folder.iterdir()] == [file.name]


CHANGES = {
    "tensorrt": "10.13.3",
    "capability": "8.9",
    "gpu": "Orin Nano",
    "device_model": "another",
    "l4t": "36.5.0",
    "driver": 13000,
    "architecture": "x86_64",
    "settings": "01",
    "model": "ab" * 8 + "cd" * 24,
}


@pytest.mark.parametrize("field", PlanKey.__struct_fields__)
def test_a_plan_for_something_else_is_never_found_and_the_reason_names_it(plans, field):
    plans.store(header_of(), PLAN)
    other = msgspec.structs.replace(KEY, **{field: CHANGES[field]})
    with pytest.raises(PlanRefusedError) as caught:
        plans.load(other)
    if field == "model":
        assert "no plan of this model was built on this machine yet" in caught.value.message
    else:
        assert f"built for {field} {getattr(KEY, field)}, here {CHANGES[field]}" in caught.value.message
    # Also not when somebody gives the file the name that would be looked for.
    plans.file(KEY).rename(plans.file(other))
    with pytest.raises(PlanRefusedError, match=f"it was built for {field} "):
        plans.load(other)


def rewrite(data, **changes):
    length = START.unpack_from(data)[2]
    head = msgspec.json.decode(data[START.size : START.size + length])
    head.update(changes)
    new = msgspec.json.encode(head)
    return START.pack(MAGIC, 1, len(new)) + new + data[START.size + length :]


DAMAGE = {
    "empty": (lambda _: b"", "ends in its first bytes"),
    "short": (lambda data: data[:10], "ends in its first bytes"),
    "other magic": (lambda data: b"x" + data[1:], "not a plan of tiers-edge"),
    "newer": (
        lambda data: data[:10] + struct.pack("<H", 9) + data[12:],
        "format 9, this version reads 1 and 2",
    ),
    "huge header": (
        lambda data: data[:12] + b"\xff\xff\xff\x7f" + data[16:],
        "header says that it has 2147483647",
    ),
    "header": (lambda data: data[:20] + b"\0" + data[21:], "header cannot be read"),
    "cut": (lambda data: data[:-1], "size is not what its header says"),
    "longer": (lambda data: data + b"x", "size is not what its header says"),
    "one byte": (lambda data: data[:-1] + b"x", "not those that were written"),
    "no buckets": (lambda data: rewrite(data, buckets=[]), "names buckets"),
    "falling buckets": (lambda data: rewrite(data, buckets=[4, 2]), "names buckets"),
    "huge plan": (lambda data: rewrite(data, plan_bytes=1 << 50), "size is not what its header says"),
    "negative": (lambda data: rewrite(data, plan_bytes=-5), "size is not what its header says"),
}


@pytest.mark.parametrize("case", list(DAMAGE))
def test_a_damaged_file_is_refused_before_anything_of_it_is_used(plans, case):
    change, message = DAMAGE[case]
    file = plans.store(header_of(), PLAN)
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(PlanRefusedError, match=message) as caught:
        plans.load(KEY)
    assert str(file) in caught.value.message
    plans.store(header_of(), PLAN)
    assert plans.load(KEY)[1] == PLAN


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_plan_that_others_could_have_written_is_refused(plans, mode):
    plans.store(header_of(), PLAN).chmod(mode)
    with pytest.raises(PlanRefusedError, match="somebody else could have written it"):
        plans.load(KEY)


def test_plans_above_the_budget_go_least_recently_used_first_and_never_the_newest(tmp_path):
    size = Plans(tmp_path / "one").store(header_of(), PLAN).stat().st_size
    plans = Plans(tmp_path / "plans", budget_bytes=3 * size + size // 2)
    keys = [msgspec.structs.replace(KEY, model=f"{number:02d}" * 32) for number in range(4)]
    for number, key in enumerate(keys[:3]):
        os.utime(plans.store(header_of(key=key), PLAN), (number, number))
    plans.load(keys[0])  # was used now
    plans.store(header_of(key=keys[3]), PLAN)
    assert [plans.file(key).exists() for key in keys] == [True, False, True, True]
    tight = Plans(tmp_path / "plans", budget_bytes=1)
    tight.store(header_of(), PLAN)
    assert [each.name for each in plans.folder.glob("*.plan")] == [plans.file(KEY).name]


def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_no_half(tmp_path):
    (tmp_path / "plans").write_text("a file")
    plans = Plans(tmp_path / "plans")
    with pytest.raises(StoreError, match="cannot be written"):
        plans.store(header_of(), PLAN)
    with pytest.raises(StoreError), plans.building(KEY):
        pass
    assert plans.read_extra("x") == b""
    plans.write_extra("x", b"lost")


def test_two_builders_of_one_plan_take_turns(plans):
    inside, order = threading.Event(), []

    def second():
        inside.wait(60)
        with plans.building(KEY):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with plans.building(KEY):
        inside.set()
        with plans.building(msgspec.structs.replace(KEY, settings="other")):
            order.append("first")
    thread.join(60)
    assert order == ["first", "second"]


def test_a_models_digest_changes_with_every_file_of_it(tmp_path):
    file, _ = sharded(tmp_path, 2)
    first = model_digest(file)
    assert first == model_digest(file)
    weights = (tmp_path / "w1.bin").read_bytes()
    (tmp_path / "w1.bin").write_bytes(weights[:-1] + b"\x01")
    assert model_digest(file) != first
    (tmp_path / "w1.bin").write_bytes(weights)
    assert model_digest(file) == first
    moved = tmp_path / "moved"
    moved.mkdir()
    for each in tmp_path.glob("*.*"):
        (moved / each.name).write_bytes(each.read_bytes())
    assert model_digest(moved / "m.onnx") == first
    assert model_digest(contract_model(tmp_path / "a.onnx")) != model_digest(
        scale_model(tmp_path / "b.onnx", 2)
    )
    with pytest.raises(EngineError):
        model_digest(tmp_path / "gone.onnx")
