from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from edge_runtime.engine.build import BuildSettings, UnsuitableModelError, ensure_plan
from edge_runtime.engine.builder import DisagreementError, open_or_build
from edge_runtime.engine.choose import NoGpuError, PlanRoom, open_engine
from edge_runtime.engine.onnxruntime_engine import OnnxRuntimeEngine
from edge_runtime.engine.plan import PlanRefusedError
from tests.contracts.engine import HeldEngine, contract_model, feed
from toolkit.errors import EngineError, MissingExtraError


@pytest.mark.parametrize("name", ["auto", "onnxruntime"])
def test_onnx_runtime_is_taken(tmp_path, name):
    assert isinstance(open_engine(contract_model(tmp_path / "m.onnx"), engine=name), OnnxRuntimeEngine)


def test_tensorrt_needs_a_folder_for_plans(tmp_path):
    with pytest.raises(
        EngineError, match="engine 'tensorrt' was asked for, but there is no folder"
    ) as caught:
        open_engine(contract_model(tmp_path / "m.onnx"), engine="tensorrt")
    assert "engine: auto" in caught.value.hint


ERRORS = {
    "no-gpu": NoGpuError("none"),
    "no-tensorrt": MissingExtraError("TensorRT", extra="jetson"),
    "unsuitable": UnsuitableModelError("free axes"),
    "failed": PlanRefusedError("damaged"),
}


@pytest.mark.parametrize("reason", list(ERRORS))
def test_auto_falls_back_with_the_reason_and_tensorrt_does_not(tmp_path, reason, caplog):
    model, room = contract_model(tmp_path / "m.onnx"), PlanRoom(tmp_path / "plans")

    def fails(*_):
        raise ERRORS[reason]

    engine = open_engine(model, room=room, tensorrt=fails)
    assert (engine.about.engine, engine.about.reason) == ("onnxruntime", reason)
    ours = [record for record in caplog.records if record.name.startswith("edge_runtime.engine")]
    assert bool(ours) == (reason in {"unsuitable", "failed"})
    with pytest.raises(type(ERRORS[reason])):
        open_engine(model, engine="tensorrt", room=room, tensorrt=fails)


def test_auto_takes_tensorrt_where_it_can_and_onnx_runtime_where_it_is_told_to(tmp_path):
    model, room, held = contract_model(tmp_path / "m.onnx"), PlanRoom(tmp_path / "plans"), HeldEngine()
    assert open_engine(model, room=room, tensorrt=lambda *_: held) is held
    told = open_engine(model, engine="onnxruntime", room=room, tensorrt=lambda *_: held)
    assert told.about.reason == "configured"
    assert open_engine(model, tensorrt=lambda *_: held).about.reason == "no-plans"


def test_a_plan_that_tensorrt_refuses_is_deleted_and_built_once_more(bench, tmp_path):
    """Such as one whose machine was changed in a way that no key tells."""
    machine, model, builds = bench(), contract_model(tmp_path / "m.onnx"), []
    room = PlanRoom(machine.plans.folder, 2)

    def build(file, place):
        builds.append(file)
        machine.faults.deserialize = False
        ensure_plan(machine.tools, file, BuildSettings(max_batch=place.max_batch), machine.plans)

    build(model, room)
    machine.faults.deserialize = True
    engine = open_or_build(machine.tools, model, room, build)
    np.testing.assert_array_equal(engine.infer(feed(2))["y"], feed(2)["x"] * 2)
    assert builds == [model, model]
    assert len(machine.trt.built) == 2
    open_or_build(machine.tools, model, room, build).close()
    assert len(builds) == 2
    engine.close()


def test_a_fresh_plan_that_computes_something_else_is_deleted_and_not_used(bench, tmp_path):
    machine, model = bench(), contract_model(tmp_path / "m.onnx")
    room = PlanRoom(machine.plans.folder, 2)

    def build(file, place):
        ensure_plan(machine.tools, file, BuildSettings(max_batch=place.max_batch), machine.plans)

    machine.faults.wrong = True
    with pytest.raises(DisagreementError, match="output 'y' is off by"):
        open_or_build(machine.tools, model, room, build)
    assert list(machine.plans.folder.glob("*.plan")) == []
    assert machine.cuda.leaks == []
    machine.faults.wrong = False
    open_or_build(machine.tools, model, room, build).close()


def test_without_onnx_runtime_the_install_line_is_printed(tmp_path):
    """Hide the package from a fresh interpreter, as on a machine that never had it."""
    code = f"""
import sys
from importlib.machinery import PathFinder

class WithoutIt:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name == "onnxruntime" else PathFinder.find_spec(name, path, target)

sys.meta_path = [WithoutIt if each is PathFinder else each for each in sys.meta_path]
from pathlib import Path
from edge_runtime.engine.choose import open_engine
from toolkit.errors import MissingExtraError
try:
    open_engine(Path({str(tmp_path / "m.onnx")!r}))
except MissingExtraError as exc:
    print(exc.hint)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "pip install 'tiers[edge]'"
