"""TensorRT's engine over fakes of TensorRT and CUDA that compute, keep CUDA's order of things, and fail in its ways."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
from onnx import TensorProto, helper

from edge_runtime.engine.build import BuildSettings, ensure_plan
from edge_runtime.engine.cuda import CudaError
from edge_runtime.engine.plan import PlanRefusedError
from edge_runtime.engine.tensorrt_engine import TensorRtEngine
from tests.contracts.engine import TABLE, EngineContract, contract_model, feed, save_model, scale_model
from tests.contracts.fake_cuda import DISCRETE, NANO, ORIN
from tests.contracts.fake_machine import VERSIONS
from toolkit.errors import EngineError

MACHINES = {
    "8.6": ("8.6.1", DISCRETE),
    "10": ("10.3.0", DISCRETE),
    "11": ("11.4.1", DISCRETE),
    "10 on an Orin": ("10.3.0", ORIN),
    "8.6 on a Nano": ("8.6.1", NANO),
}


@pytest.fixture(params=list(MACHINES))
def machine(request, bench):
    return bench(*MACHINES[request.param])


class TestTensorRtEngine(EngineContract):
    @pytest.fixture
    def engine(self, machine, tmp_path):
        engine = machine.open(contract_model(tmp_path / "model.onnx"))
        yield engine
        engine.close()
        assert machine.cuda.leaks == []


class TestTensorRtEngineWithGraphs(EngineContract):
    """The same when every bucket is a graph already."""

    @pytest.fixture
    def engine(self, bench, tmp_path):
        machine = bench()
        engine = machine.open(contract_model(tmp_path / "model.onnx"))
        engine.warm_up()
        assert len(machine.cuda.graphs) == 2 * len(engine.buckets)
        before = machine.cuda.graph_launches
        yield engine
        engine.close()
        assert machine.cuda.leaks == []
        assert machine.cuda.graph_launches >= before


def test_buckets_are_powers_of_two_up_to_the_largest_batch(bench, tmp_path):
    model = contract_model(tmp_path / "m.onnx")
    assert bench().open(model, max_batch=8).buckets == (1, 2, 4, 8)
    assert bench().open(model, max_batch=6).buckets == (1, 2, 4, 6)
    assert bench().open(model, max_batch=0).buckets == (1,)


def test_a_warm_bucket_is_one_launch_of_a_graph_with_fixed_addresses(bench, tmp_path):
    machine = bench()
    engine = machine.open(contract_model(tmp_path / "m.onnx"))
    engine.warm_up()
    machine.cuda.graph_launches = 0
    for rows in (1, 2, 3, 4, 5, 8):
        np.testing.assert_array_equal(engine.infer(feed(rows))["y"], feed(rows)["x"] * 2)
    assert machine.cuda.graph_launches == 6


def test_rows_that_fill_a_bucket_up_are_zeros_and_not_what_another_one_sent(bench, tmp_path):
    """The sum over the batch would show what lies in the rows that nobody asked for."""
    model = save_model(
        tmp_path / "m.onnx",
        [
            helper.make_node("ReduceSum", ["x", "axes"], ["s"], keepdims=1),
            helper.make_node("Add", ["x", "s"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, ["n", 4])],
        [("y", TensorProto.FLOAT, ["n", 4])],
        {"axes": np.array([0])},
    )
    engine = bench().open(model)
    engine.infer({"x": np.full((4, 4), 1e6, np.float32)})
    x = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(engine.infer({"x": x})["y"], x + x.sum(0))


@pytest.mark.parametrize("facts", [DISCRETE, ORIN, NANO], ids=lambda each: each.name)
def test_copies_are_made_exactly_where_memory_is_not_shared_coherently(bench, tmp_path, facts):
    machine = bench(facts=facts)
    machine.open(contract_model(tmp_path / "m.onnx")).infer(feed(2))
    done = [what for what, _ in machine.cuda.journal]
    assert done == (["run"] if facts is ORIN else ["in", "in", "run", "out", "out"])


def test_more_rows_than_the_largest_bucket_fly_on_two_lanes_at_once(bench, tmp_path, wait_until):
    machine = bench()
    engine = machine.open(contract_model(tmp_path / "m.onnx"), max_batch=4)
    engine.warm_up()
    machine.cuda.in_flight.clear()
    machine.cuda.journal.clear()
    gate, held, answers = threading.Event(), threading.Event(), []
    holder = threading.Thread(target=machine.gpu.call, args=(lambda: (held.set(), gate.wait(60)),))
    holder.start()
    assert held.wait(60)
    asker = threading.Thread(target=lambda: answers.append(engine.infer(feed(19))["y"]))
    asker.start()
    wait_until(lambda: machine.gpu._jobs.qsize() >= 5, "all pieces are handed over")
    gate.set()
    holder.join(60)
    asker.join(60)
    np.testing.assert_array_equal(answers[0], feed(19)["x"] * 2)
    assert max(machine.cuda.in_flight) == 2
    assert len({stream for _, stream in machine.cuda.journal}) == 2
    assert sum(what == "run" for what, _ in machine.cuda.journal) == 5


def test_many_callers_share_the_lanes_and_each_gets_its_own_answer(bench, tmp_path):
    engine = bench().open(contract_model(tmp_path / "m.onnx"))
    wrong = []

    def ask(start):
        for _ in range(20):
            inputs = feed(3, start)
            if not np.array_equal(engine.infer(inputs)["y"], inputs["x"] * 2):
                wrong.append(start)

    threads = [threading.Thread(target=ask, args=(start,)) for start in range(0, 600, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def nonzero_model(path):
    """Which outputs come, and how many, depends on what goes in: positions of what is not zero, and twice x."""
    return save_model(
        path,
        [helper.make_node("NonZero", ["x"], ["where"]), helper.make_node("Mul", ["x", "two"], ["y"])],
        [("x", TensorProto.FLOAT, ["n", 4])],
        [("where", TensorProto.INT64, [2, "found"]), ("y", TensorProto.FLOAT, ["n", 4])],
        {"two": np.array(2, np.float32)},
    )


@pytest.mark.parametrize("facts", [DISCRETE, ORIN], ids=lambda each: each.name)
def test_outputs_whose_size_depends_on_the_data_come_through_an_allocator_and_never_a_graph(
    bench, tmp_path, facts
):
    machine = bench(facts=facts)
    engine = machine.open(nonzero_model(tmp_path / "m.onnx"))
    engine.warm_up()
    assert machine.cuda.graphs == {}
    for rows in (3, 1, 8):
        x = (np.arange(rows * 4).reshape(rows, 4) % 3).astype(np.float32)
        found = engine.infer({"x": x})
        np.testing.assert_array_equal(found["where"], np.array(np.nonzero(x)))
        np.testing.assert_array_equal(found["y"], x * 2)
    nothing = engine.infer({"x": np.zeros((2, 4), np.float32)})["where"]
    assert nothing.shape == (2, 0)
    with pytest.raises(EngineError, match="9 rows in one request; this plan takes 1 to 8"):
        engine.infer({"x": np.zeros((9, 4), np.float32)})
    engine.close()
    assert machine.cuda.leaks == []


def test_a_model_of_a_fixed_number_of_rows_has_that_one_bucket(bench, tmp_path):
    model = save_model(
        tmp_path / "m.onnx",
        [helper.make_node("Mul", ["x", "two"], ["y"])],
        [("x", TensorProto.FLOAT, [3, 4])],
        [("y", TensorProto.FLOAT, [3, 4])],
        {"two": np.array(2, np.float32)},
    )
    machine = bench()
    engine = machine.open(model)
    assert engine.buckets == (3,)
    assert machine.trt.built[0].profiles == []
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(engine.infer({"x": x})["y"], x * 2)
    with pytest.raises(EngineError, match=r"expected x float32\[3, 4\]"):
        engine.infer({"x": x[:2]})


def test_wide_integers_are_narrowed_for_tensorrt_8_and_never_cut(bench, tmp_path):
    engine = bench("8.6.1").open(contract_model(tmp_path / "m.onnx"))
    assert engine.inputs[1].dtype == np.int64
    assert engine.infer(feed(3))["z"].tolist() == TABLE.tolist()
    with pytest.raises(EngineError, match="'k' has values beyond int32"):
        engine.infer({**feed(1), "k": np.array([1 << 32])})


# ------------------------------------------------------------------ faults
@pytest.mark.parametrize("version", VERSIONS)
def test_a_plan_that_tensorrt_gives_none_for_is_refused_with_its_reason(bench, tmp_path, version):
    machine = bench(version)
    machine.faults.deserialize = True
    with pytest.raises(
        PlanRefusedError, match="refuses the plan: The engine plan file is generated on an inc"
    ) as caught:
        machine.open(contract_model(tmp_path / "m.onnx"))
    assert "tiers-edge build" in caught.value.hint
    assert machine.cuda.leaks == []


@pytest.mark.parametrize("fault", ["execute", "shape"])
def test_a_call_that_gives_false_is_an_error_and_the_next_one_works(bench, tmp_path, fault):
    machine = bench()
    engine = machine.open(nonzero_model(tmp_path / "m.onnx"))
    setattr(machine.faults, fault, True)
    x = np.ones((2, 4), np.float32)
    with pytest.raises(EngineError, match=r"could not run the model: enqueueV3|refused 2 rows of input 'x'"):
        engine.infer({"x": x})
    setattr(machine.faults, fault, False)
    np.testing.assert_array_equal(engine.infer({"x": x})["y"], x * 2)


def test_a_context_that_cannot_be_made_leaves_nothing_behind(bench, tmp_path):
    machine = bench()
    machine.faults.context = True
    with pytest.raises(EngineError, match="could not make a context: out of memory"):
        machine.open(contract_model(tmp_path / "m.onnx"))
    assert machine.cuda.leaks == []


def test_a_gpu_without_memory_is_an_error_that_leaves_nothing_behind(bench, tmp_path):
    machine = bench()
    machine.cuda.limit = 4096 + 300
    with pytest.raises(CudaError, match="cuMemAlloc_v2 failed with 2: out of memory"):
        machine.open(contract_model(tmp_path / "m.onnx"))
    assert machine.cuda.leaks == []


@pytest.mark.parametrize("how", ["begin", "end", "tensorrt"])
def test_a_model_that_cannot_be_a_graph_runs_without(bench, tmp_path, how):
    machine = bench()
    machine.cuda.refuse_capture, machine.cuda.fail_capture = how == "begin", how == "end"
    machine.faults.execute_in_capture = how == "tensorrt"
    engine = machine.open(contract_model(tmp_path / "m.onnx"))
    engine.warm_up()
    np.testing.assert_array_equal(engine.infer(feed(3))["y"], feed(3)["x"] * 2)
    assert machine.cuda.graph_launches == 0
    engine.close()
    assert machine.cuda.leaks == []


def test_a_lost_gpu_fails_everything_at_once_and_says_what_to_do(bench, tmp_path):
    machine = bench()
    engine = machine.open(contract_model(tmp_path / "m.onnx"))
    machine.faults.lost = True
    with pytest.raises(EngineError, match="illegal memory access") as caught:
        engine.infer(feed(1))
    assert "end this process" in caught.value.hint
    machine.faults.lost = False
    with pytest.raises(EngineError, match="illegal memory access"):
        engine.infer(feed(1))
    engine.close()


def test_host_code_in_plans_stays_forbidden(bench, tmp_path):
    """The fake refuses to deserialize where it is allowed; here one that cannot be forbidden it."""
    machine = bench()
    model = contract_model(tmp_path / "m.onnx")
    built = ensure_plan(machine.tools, model, BuildSettings(), machine.plans)
    real = machine.trt.Runtime

    class Stubborn(real):
        engine_host_code_allowed = property(lambda _: True, lambda *_: None)

    machine.trt.Runtime = Stubborn
    with pytest.raises(EngineError, match="run code of the plan on the processor"):
        TensorRtEngine(machine.gpu, machine.trt, *machine.plans.load(built.header.key))
    assert "deserialize" not in machine.faults.seen


def test_a_plan_of_another_model_is_refused(bench, tmp_path):
    machine = bench()
    one = ensure_plan(machine.tools, contract_model(tmp_path / "a.onnx"), BuildSettings(), machine.plans)
    other = ensure_plan(machine.tools, scale_model(tmp_path / "b.onnx", 3), BuildSettings(), machine.plans)
    header, _ = machine.plans.load(one.header.key)
    _, plan = machine.plans.load(other.header.key)
    with pytest.raises(PlanRefusedError, match="not one of this model: they differ in k, z"):
        TensorRtEngine(machine.gpu, machine.trt, header, plan)


@pytest.mark.parametrize("fault", ["", "context", "deserialize", "execute"])
def test_what_calls_cuda_when_it_ends_ends_on_the_thread_of_the_gpu(bench, tmp_path, fault):
    machine = bench()
    model = contract_model(tmp_path / "m.onnx")
    if fault:
        setattr(machine.faults, fault, True)
    error = None
    try:
        engine = machine.open(model)
        engine.warm_up()
    except EngineError as exc:
        error = exc  # as somebody does who logs it later
    if not fault or fault == "execute":
        engine.close()
        del engine
    assert bool(error) == bool(fault)
    del error
    gc.collect()
    assert machine.cuda.strays == []
