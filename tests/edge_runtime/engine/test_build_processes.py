"""`tiers-edge build` and whoever needs a plan, as processes, over a fake driver (C) and a fake TensorRT (Python)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.contracts.engine import contract_model, save_model, scale_model

pytestmark = pytest.mark.slow  # a second or two for each process that opens a model
ROOT = Path(__file__).resolve().parents[3]


def build(*arguments):
    return ("-m", "edge_runtime", "build", *arguments)


def unknown_model(path):
    return save_model(
        path,
        [helper.make_node("Unknown", ["x"], ["y"])],
        [("x", TensorProto.FLOAT, ["n"])],
        [("y", TensorProto.FLOAT, ["n"])],
    )


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_plans_are_built_with_progress_and_left_when_they_are_there(start, tmp_path):
    models = [contract_model(tmp_path / "a.onnx"), scale_model(tmp_path / "b.onnx", 3)]
    command = build(*models, "--plans", tmp_path / "plans", "--max-batch", 4)
    steps = lines(start(*command, "--json"))
    ends = [step for step in steps if "plan" in step]
    assert [end["model"] for end in ends] == [str(model) for model in models]
    assert all(end["fresh"] and end["buckets"] == [1, 2, 4] and Path(end["plan"]).is_file() for end in ends)
    told = [(step["phase"], step.get("done", 0), step["steps"]) for step in steps if "phase" in step]
    assert told == [("Building", done, 3) for done in range(4)] * 2
    again = start(*command)
    assert again.stdout.count("was there") == 2


def test_one_model_that_fails_does_not_keep_the_next_from_its_plan(start, tmp_path):
    bad, good = unknown_model(tmp_path / "bad.onnx"), contract_model(tmp_path / "good.onnx")
    done = start(*build(bad, good, "--plans", tmp_path / "plans", "--json"), check=False)
    assert done.returncode == 1
    ends = [step for step in lines(done) if "phase" not in step]
    assert ends[0]["unsuitable"] is True
    assert "No importer registered" in ends[0]["error"]
    assert Path(ends[1]["plan"]).is_file()
    assert "does not take this model" in done.stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"FAKE_CUDA_DEVICES": "0"}, "TensorRT needs a GPU, but the CUDA driver has no device"),
        ({"LD_LIBRARY_PATH": "/nowhere"}, "the CUDA driver (libcuda.so.1) is not on this machine"),
        ({"FAKE_TENSORRT": "8.5.2"}, "TensorRT 8.5.2 is too old; 8.6 is the first that is supported"),
        ({"FAKE_TENSORRT_FAULT": "build"}, "could not find any implementation for node Mul"),
    ],
)
def test_what_is_missing_is_named(start, tmp_path, environment, said):
    model = contract_model(tmp_path / "m.onnx")
    done = start(*build(model, "--plans", tmp_path / "plans"), check=False, **environment)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("plans/*.plan"))


def test_without_tensorrt_the_cure_is_jetpacks(start, tmp_path):
    model = contract_model(tmp_path / "m.onnx")
    done = start(*build(model, "--plans", tmp_path / "p"), check=False, PYTHONPATH=str(ROOT))
    assert done.returncode == 2
    assert "--system-site-packages" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--plans", "p"), ("gone.onnx", "--plans", "p"), ("gone.onnx",)])
def test_a_command_that_says_too_little_is_a_usage_error(start, arguments):
    assert start(*build(*arguments), check=False).returncode == 2


OPEN = """
import logging, sys
from pathlib import Path
import numpy as np
from edge_runtime.engine.choose import PlanRoom, machine_tools, open_engine
from toolkit.errors import TiersError
logging.basicConfig(level="WARNING")
model, plans, name = sys.argv[1:4]
try:
    engine = open_engine(Path(model), engine=name, room=PlanRoom(Path(plans), 4))
except TiersError as error:
    print("error", error.message)
    raise SystemExit(0)
engine.warm_up()
x = np.arange(20, dtype=np.float32).reshape(5, 4)
k = {"k": np.zeros(5, np.int64)} if len(engine.inputs) == 2 else {}
right = bool((engine.infer({"x": x, **k})["y"] == 2 * x).all()) if engine.inputs[0].shape[1:] else True
door = machine_tools().gpu.cuda.door if engine.about.engine == "tensorrt" else ""
print(engine.about.engine, engine.about.version, engine.about.reason or "-", right, door)
engine.close()
"""


def opened(start, model, plans, name="auto", **environment):
    return start("-c", OPEN, model, plans, name, **environment).stdout.split()


def test_who_needs_a_plan_has_it_built_by_a_child_and_then_runs_it(start, tmp_path):
    model = contract_model(tmp_path / "m.onnx")
    first = opened(start, model, tmp_path / "plans")
    assert first[:4] == ["tensorrt", "10.3.0", "-", "True"]
    (plan,) = (tmp_path / "plans").glob("*.plan")
    written = plan.stat().st_ino
    assert opened(start, model, tmp_path / "plans", "tensorrt", FAKE_CUDA_DEVICES="1")[:4] == first[:4]
    assert plan.stat().st_ino == written
    # An upgrade: the old plan is not tried, a new one is built beside it.
    newer = opened(start, model, tmp_path / "plans", FAKE_TENSORRT="11.4.1")
    assert newer[:4] == ["tensorrt", "11.4.1", "-", "True"]
    assert len(list((tmp_path / "plans").glob("*.plan"))) == 2


def test_a_machine_that_shares_its_memory_runs_too(start, tmp_path):
    model = contract_model(tmp_path / "m.onnx")
    assert opened(start, model, tmp_path / "plans", FAKE_CUDA_TEGRA="1")[:4] == [
        "tensorrt",
        "10.3.0",
        "-",
        "True",
    ]


REASONS = {
    "no-gpu": {"FAKE_CUDA_DEVICES": "0"},
    "no-tensorrt": {"PYTHONPATH": str(ROOT)},
    "failed": {"FAKE_TENSORRT_FAULT": "build"},
}


@pytest.mark.parametrize("reason", list(REASONS))
def test_auto_takes_onnx_runtime_and_says_why(start, tmp_path, reason):
    model = contract_model(tmp_path / "m.onnx")
    found = opened(start, model, tmp_path / "plans", **REASONS[reason])
    assert (found[0], found[2], found[3]) == ("onnxruntime", reason, "True")
    asked = opened(start, model, tmp_path / "plans", "tensorrt", **REASONS[reason])
    assert asked[0] == "error"


def test_auto_gives_a_model_that_tensorrt_cannot_have_to_onnx_runtime(start, tmp_path):
    model = save_model(
        tmp_path / "m.onnx",
        [helper.make_node("Mul", ["x", "two"], ["y"])],
        [("x", TensorProto.FLOAT, ["n", "width"])],
        [("y", TensorProto.FLOAT, ["n", "width"])],
        {"two": np.array(2, np.float32)},
    )
    found = opened(start, model, tmp_path / "plans")
    assert (found[0], found[2]) == ("onnxruntime", "unsuitable")


def test_the_golden_check_runs_on_the_engine_that_will_serve(start, tmp_path):
    model = scale_model(tmp_path / "m.onnx", 2)
    x = np.arange(80, dtype=np.float32).reshape(20, 4)
    np.savez(tmp_path / "g.npz", **{"input.x": x, "output.y": x * 2})
    command = (
        "-m",
        "edge_runtime.golden",
        model,
        "--golden",
        tmp_path / "g.npz",
        "--plans",
        tmp_path / "plans",
    )
    done = start(*command, "--engine", "tensorrt", "--memory", str(1 << 40))
    finding = json.loads(done.stdout.splitlines()[-1])
    assert (finding["code"], finding["examples"]) == ("", 20)
    assert len(list((tmp_path / "plans").glob("*.plan"))) == 1
    refused = start(*command, "--engine", "tensorrt", FAKE_TENSORRT="11.4.1", FAKE_TENSORRT_FAULT="build")
    assert json.loads(refused.stdout.splitlines()[-1])["code"] == "load-failed"
    fallen = start(*command, FAKE_TENSORRT="11.4.1", FAKE_TENSORRT_FAULT="build")
    assert json.loads(fallen.stdout.splitlines()[-1])["code"] == ""


CUDA = """
import sys
import numpy as np
from edge_runtime.engine.cuda import CudaError, open_cuda
cuda = open_cuda(sys.argv[1])
cuda.enter()
facts = cuda.facts
stream, event, memory = cuda.stream(), cuda.event(), cuda.allocate(1 << 20)
host = cuda.host(1 << 20, mapped=False)
mapped = cuda.host(4096, mapped=True)
host.array[:] = np.arange(1 << 20) % 251
cuda.to_device(memory, host.array, stream)
back = cuda.host(1 << 20, mapped=False)
cuda.to_host(back.array, memory, stream)
cuda.record(event, stream)
cuda.wait(event)
same = bool((back.array == host.array).all())
failed = []
for call in (lambda: cuda.begin_capture(stream), lambda: cuda.allocate(1 << 40), lambda: cuda.launch(1, stream)):
    try:
        call()
    except CudaError as error:
        failed.append(error.code)
for each in (host, mapped, back):
    cuda.release_host(each)
cuda.release(memory)
cuda.end_event(event)
cuda.end_stream(stream)
free = cuda.free_memory()
cuda.leave()
try:
    cuda.allocate(1)
except CudaError as error:
    failed.append(error.code)
print(cuda.door, facts.name, facts.capability, facts.driver, facts.zero_copy, same, mapped.device_address > 0)
print(failed, free)
"""


@pytest.mark.parametrize("door", ["libcuda", "cuda-python"])
def test_a_door_to_cuda_hands_over_what_the_driver_takes(start, door):
    if door == "cuda-python":
        pytest.importorskip("cuda.bindings", reason="needs hardware or PyTorch's CUDA packages")
    said = start("-c", CUDA, door).stdout.splitlines()
    assert said == [f"{door} Fake GPU (8, 6) 12060 False True True", f"[801, 2, 801, 201] {1 << 31}"]
