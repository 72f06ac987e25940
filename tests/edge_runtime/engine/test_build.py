from __future__ import annotations

import threading

import numpy as np
import pytest
from onnx import TensorProto, helper

from edge_runtime.engine.build import BuildSettings, UnsuitableModelError, ensure_plan
from tests.contracts.engine import contract_model, save_model, scale_model
from tests.contracts.fake_machine import VERSIONS
from toolkit.errors import EngineError, StoreError

SMALL = BuildSettings(max_batch=2)


def formats_model(path):
    """Half precision and explicit quantization."""
    return save_model(
        path,
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            helper.make_node("Cast", ["d"], ["y"], to=TensorProto.FLOAT16),
        ],
        [("x", TensorProto.FLOAT, ["n", 2])],
        [("y", TensorProto.FLOAT16, ["n", 2])],
        {"s": np.array(0.1, np.float32), "z": np.array(0, np.int8)},
    )


@pytest.mark.parametrize(
    ("version", "flags"), [("8.6.1", {"FP16", "INT8"}), ("10.3.0", set()), ("11.4.1", set())]
)
def test_formats_are_the_models_own_and_never_tf32(bench, tmp_path, version, flags):
    machine = bench(version)
    ensure_plan(machine.tools, formats_model(tmp_path / "m.onnx"), SMALL, machine.plans)
    ensure_plan(machine.tools, contract_model(tmp_path / "p.onnx"), SMALL, machine.plans)
    both, plain = machine.trt.built
    assert both.config.flags == flags
    assert plain.config.flags == set()


def test_settings_reach_the_builder(bench, tmp_path):
    machine = bench()
    settings = BuildSettings(max_batch=4, workspace_bytes=123456, level=1)
    ensure_plan(machine.tools, contract_model(tmp_path / "m.onnx"), settings, machine.plans)
    (built,) = machine.trt.built
    assert built.config.limits == {"WORKSPACE": 123456}
    assert built.config.builder_optimization_level == 1
    assert [each["x"] for each in built.profiles] == [((1, 4), (rows, 4), (rows, 4)) for rows in (1, 2, 4)]
    assert [each["k"] for each in built.profiles] == [((1,), (rows,), (rows,)) for rows in (1, 2, 4)]


def test_a_plan_is_built_once_and_again_when_anything_of_its_key_changes(bench, tmp_path):
    machine, model = bench(), contract_model(tmp_path / "m.onnx")
    first = ensure_plan(machine.tools, model, SMALL, machine.plans)
    again = ensure_plan(machine.tools, model, SMALL, machine.plans)
    assert (first.fresh, again.fresh, again.file) == (True, False, first.file)
    assert ensure_plan(machine.tools, model, BuildSettings(max_batch=4), machine.plans).fresh
    newer = bench("10.13.3")
    assert ensure_plan(newer.tools, model, SMALL, newer.plans).fresh
    assert len(machine.trt.built) == 2
    assert len(list(machine.plans.folder.glob("*.plan"))) == 3


def test_a_damaged_plan_is_built_again(bench, tmp_path):
    machine, model = bench(), contract_model(tmp_path / "m.onnx")
    built = ensure_plan(machine.tools, model, SMALL, machine.plans)
    built.file.write_bytes(b"nonsense")
    assert ensure_plan(machine.tools, model, SMALL, machine.plans).fresh
    machine.plans.load(built.header.key)


def test_the_timing_cache_of_one_build_helps_the_next_and_a_damaged_one_is_left(bench, tmp_path):
    machine = bench()
    for number in (1, 2):
        ensure_plan(machine.tools, scale_model(tmp_path / f"{number}.onnx", number), SMALL, machine.plans)
        assert machine.trt.built[-1].config.timings == {"tactics": number}
    (machine.plans.folder / "timing-10.3.0.cache").write_bytes(b"damaged")
    ensure_plan(machine.tools, scale_model(tmp_path / "3.onnx", 3), SMALL, machine.plans)
    assert machine.trt.built[-1].config.timings == {"tactics": 1}


def test_progress_is_told_by_the_outermost_phase(bench, tmp_path):
    machine, told = bench(), []
    ensure_plan(
        machine.tools,
        contract_model(tmp_path / "m.onnx"),
        SMALL,
        machine.plans,
        tell=lambda *step: told.append(step),
    )
    assert told == [("Building", done, 3) for done in range(4)]


def test_a_build_that_takes_too_long_is_ended(bench, tmp_path):
    machine = bench()
    with pytest.raises(EngineError, match="did not end in its time") as caught:
        ensure_plan(machine.tools, contract_model(tmp_path / "m.onnx"), SMALL, machine.plans, seconds=0)
    assert "--seconds" in caught.value.hint
    assert list(machine.plans.folder.glob("*.plan")) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_none_from_the_builder_is_an_error_with_what_the_log_said(bench, tmp_path, version):
    machine = bench(version)
    machine.faults.build = True
    with pytest.raises(EngineError, match="cannot build it: could not find any implementation for node Mul"):
        ensure_plan(machine.tools, contract_model(tmp_path / "m.onnx"), SMALL, machine.plans)
    machine.faults.build = False
    assert ensure_plan(machine.tools, contract_model(tmp_path / "m.onnx"), SMALL, machine.plans).fresh


def test_a_model_that_the_parser_does_not_take_is_unsuitable_with_its_words(bench, tmp_path):
    machine = bench()
    model = save_model(
        tmp_path / "m.onnx",
        [helper.make_node("Unknown", ["x"], ["y"])],
        [("x", TensorProto.FLOAT, ["n"])],
        [("y", TensorProto.FLOAT, ["n"])],
    )
    with pytest.raises(UnsuitableModelError, match="No importer registered for op: Unknown") as caught:
        ensure_plan(machine.tools, model, SMALL, machine.plans)
    assert "onnxruntime" in caught.value.hint


SHAPES = {
    "height and width": (["n", 1, "h", "w"], "free axes besides its rows"),
    "not the rows": ([4, "w"], "free axes besides its rows"),
}


@pytest.mark.parametrize("case", list(SHAPES))
def test_free_axes_besides_the_rows_are_unsuitable(bench, tmp_path, case):
    shape, message = SHAPES[case]
    model = save_model(
        tmp_path / "m.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [("x", TensorProto.FLOAT, shape)],
        [("y", TensorProto.FLOAT, shape)],
    )
    machine = bench()
    with pytest.raises(UnsuitableModelError, match=message):
        ensure_plan(machine.tools, model, SMALL, machine.plans)
    assert machine.trt.built == []


def test_rows_that_are_free_in_some_inputs_alone_are_unsuitable(bench, tmp_path):
    model = save_model(
        tmp_path / "m.onnx",
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, ["n", 2]), ("w", TensorProto.FLOAT, [1, 2])],
        [("y", TensorProto.FLOAT, ["n", 2])],
    )
    with pytest.raises(UnsuitableModelError, match="rows are free in x alone"):
        ensure_plan((machine := bench()).tools, model, SMALL, machine.plans)


def test_inputs_that_decide_over_shapes_are_unsuitable(bench, tmp_path):
    model = save_model(
        tmp_path / "m.onnx",
        [helper.make_node("Reshape", ["x", "decides"], ["y"])],
        [("x", TensorProto.FLOAT, [2, 2]), ("decides", TensorProto.INT64, [1])],
        [("y", TensorProto.FLOAT, [4])],
    )
    with pytest.raises(UnsuitableModelError, match="'decides' decides over shapes"):
        ensure_plan((machine := bench()).tools, model, SMALL, machine.plans)


def test_a_full_disk_is_an_error_and_leaves_no_half_plan(bench, tmp_path):
    machine = bench()
    machine.plans.folder.parent.mkdir(exist_ok=True)
    machine.plans.folder.write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        ensure_plan(machine.tools, contract_model(tmp_path / "m.onnx"), SMALL, machine.plans)


def test_two_processes_that_need_one_plan_build_it_once(bench, tmp_path):
    """Two machines here stand for two processes: the lock is one of files."""
    machines, model = [bench(), bench()], contract_model(tmp_path / "m.onnx")
    threads = [
        threading.Thread(target=ensure_plan, args=(each.tools, model, SMALL, each.plans)) for each in machines
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(len(each.trt.built) for each in machines) == 1
