"""What every engine promises, the models that show it, and a double that can be held and made to fail.

A test file subclasses `EngineContract` and gives the fixture `engine`: a loaded `contract_model`, or what equals it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.engine.base import (
    Array,
    Engine,
    EngineAbout,
    Tensors,
    TensorSpec,
    find_bad_buffer,
    find_mismatch,
    put,
)
from toolkit.errors import EngineError

DOUBLE, TABLE = 2.0, np.array([10, 11, 12], np.float32)
INPUTS = (
    TensorSpec("x", np.dtype(np.float32), (None, 4)),
    TensorSpec("k", np.dtype(np.int64), (None,)),
)
OUTPUTS = (
    TensorSpec("y", np.dtype(np.float32), (None, 4)),
    TensorSpec("z", np.dtype(np.float32), (None,)),
)


def save_model(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[tuple[str, int, Sequence[int | str]]],
    outputs: Sequence[tuple[str, int, Sequence[int | str]]],
    constants: Mapping[str, Array] | None = None,
) -> Path:
    """Write a small ONNX file of the newest form that every device takes (IR 10, opset 20)."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    path.write_bytes(model.SerializeToString())
    return path


def scale_model(path: Path, factor: float, width: int = 4) -> Path:
    """Write y = factor · x with x float32[n, width]."""
    return save_model(
        path,
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        [("x", TensorProto.FLOAT, ["n", width])],
        [("y", TensorProto.FLOAT, ["n", width])],
        {"factor": np.array(factor, np.float32)},
    )


def contract_model(path: Path) -> Path:
    """Write the model of the contract: y = 2 · x, z = TABLE[k]; a k beyond the table fails in the middle of a run."""
    return save_model(
        path,
        [helper.make_node("Mul", ["x", "two"], ["y"]), helper.make_node("Gather", ["table", "k"], ["z"])],
        [("x", TensorProto.FLOAT, ["n", 4]), ("k", TensorProto.INT64, ["n"])],
        [("y", TensorProto.FLOAT, ["n", 4]), ("z", TensorProto.FLOAT, ["n"])],
        {"two": np.array(DOUBLE, np.float32), "table": TABLE},
    )


class HeldEngine:
    """The contract's model in NumPy. `gate` holds it inside `infer`; `entered` tells that it is there."""

    def __init__(self) -> None:
        self.inputs, self.outputs = INPUTS, OUTPUTS
        self.about = EngineAbout("onnxruntime", "a double")
        self.any_thread = False
        self.buckets = (1,)
        self.memory_bytes = 1
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.calls: list[Tensors] = []
        self.closed = threading.Event()
        self.warm_up_error: Exception | None = None
        self.threads: set[str] = set()

    def warm_up(self) -> None:
        if self.warm_up_error is not None:
            raise self.warm_up_error

    def infer(self, inputs: Mapping[str, Array], out: Tensors | None = None) -> Tensors:
        if self.closed.is_set():
            raise EngineError("the engine is closed")
        if mismatch := find_mismatch(self.inputs, inputs) or find_bad_buffer(self.outputs, out or {}):
            raise EngineError(mismatch)
        self.threads.add(threading.current_thread().name)
        self.calls.append(dict(inputs))
        self.entered.release()
        assert self.gate.wait(120), "nobody opened the gate"
        try:
            found = {"y": inputs["x"] * np.float32(DOUBLE), "z": TABLE[inputs["k"]]}
        except IndexError as exc:
            raise EngineError(str(exc)) from exc
        return {name: put(out or {}, name, array) for name, array in found.items()}

    def close(self) -> None:
        self.closed.set()

    @property
    def rows(self) -> list[int]:
        """Rows of each call so far."""
        return [len(call["x"]) for call in self.calls]


def feed(rows: int, start: int = 0) -> Tensors:
    """Give inputs for the contract's model."""
    x = np.arange(start, start + rows * 4, dtype=np.float32).reshape(rows, 4)
    return {"x": x, "k": np.arange(start, start + rows, dtype=np.int64) % len(TABLE)}


BAD_INPUTS = {
    "missing": ({"x": feed(1)["x"]}, "'k' is missing"),
    "extra": ({**feed(1), "q": feed(1)["x"]}, "no input is named 'q'"),
    "dtype": ({**feed(1), "x": np.zeros((1, 4))}, r"expected x float32\[\?, 4\]"),
    "width": ({**feed(1), "x": np.zeros((1, 5), np.float32)}, r"expected x float32\[\?, 4\]"),
    "rank": ({**feed(1), "x": np.zeros(4, np.float32)}, r"expected x float32\[\?, 4\]"),
}


def buffers(rows: int) -> Tensors:
    """Give memory that takes the outputs of `feed(rows)`, filled with what must not stay."""
    return {"y": np.full((rows, 4), np.nan, np.float32), "z": np.full(rows, np.nan, np.float32)}


def _read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array


BAD_BUFFERS = {
    "unknown": (lambda: {"q": np.zeros(2, np.float32)}, "no output is named 'q'"),
    "dtype": (lambda: {"y": np.zeros((2, 4))}, r"cannot take the output y float32\[\?, 4\]"),
    "width": (lambda: {"y": np.zeros((2, 5), np.float32)}, r"cannot take the output y float32\[\?, 4\]"),
    "rows": (lambda: {"y": np.zeros((3, 4), np.float32)}, r"shape|Shape"),
    "strided": (lambda: {"y": np.zeros((2, 8), np.float32)[:, ::2]}, "C-contiguous"),
    "read-only": (lambda: {"y": _read_only(np.zeros((2, 4), np.float32))}, "writable"),
}


class EngineContract:
    """The suite."""

    def test_it_says_what_it_is(self, engine: Engine) -> None:
        assert engine.about.engine in {"tensorrt", "onnxruntime"}
        assert engine.about.version
        assert engine.memory_bytes >= 1
        assert engine.buckets
        assert list(engine.buckets) == sorted(set(engine.buckets))
        assert engine.buckets[0] >= 1

    def test_it_computes_for_every_thread_that_may_call_it(self, engine: Engine) -> None:
        """Any thread, or the one that it was made in."""
        found: list[Tensors] = []
        for start in range(3):
            thread = threading.Thread(target=lambda start=start: found.append(engine.infer(feed(2, start))))
            call = thread.start if engine.any_thread else thread.run
            call()
            if engine.any_thread:
                thread.join()
            found.append(engine.infer(feed(2, start)))
        for number, outputs in enumerate(found):
            np.testing.assert_array_equal(outputs["y"], feed(2, number // 2)["x"] * 2)

    def test_every_number_of_rows_around_a_bucket_is_right(self, engine: Engine) -> None:
        for rows in sorted({1, *engine.buckets, *(each + 1 for each in engine.buckets)}):
            inputs = feed(rows, start=rows)
            outputs = engine.infer(inputs)
            np.testing.assert_array_equal(outputs["y"], inputs["x"] * np.float32(2))
            np.testing.assert_array_equal(outputs["z"], TABLE[inputs["k"]])

    @pytest.mark.parametrize("names", [("y", "z"), ("y",), ("z",), ()])
    def test_outputs_go_where_they_are_wanted(self, engine: Engine, names: Sequence[str]) -> None:
        out = {name: array for name, array in buffers(2).items() if name in names}
        for start in (0, 7):
            inputs = feed(2, start)
            outputs = engine.infer(inputs, out)
            assert list(outputs) == ["y", "z"]
            assert all(outputs[name] is out[name] for name in names)
            np.testing.assert_array_equal(outputs["y"], inputs["x"] * np.float32(2))
            np.testing.assert_array_equal(outputs["z"], TABLE[inputs["k"]])

    def test_other_buffers_do_not_disturb_the_first_ones(self, engine: Engine) -> None:
        first, second = buffers(2), buffers(2)
        engine.infer(feed(2), first)
        kept = first["y"].copy()
        engine.infer(feed(2, start=9), second)
        np.testing.assert_array_equal(first["y"], kept)
        np.testing.assert_array_equal(second["y"], feed(2, start=9)["x"] * 2)

    @pytest.mark.parametrize("bad", list(BAD_BUFFERS))
    def test_a_buffer_that_does_not_fit_is_refused(self, engine: Engine, bad: str) -> None:
        make, message = BAD_BUFFERS[bad]
        with pytest.raises(EngineError, match=message):
            engine.infer(feed(2), make())
        np.testing.assert_array_equal(engine.infer(feed(2))["y"], feed(2)["x"] * 2)

    def test_it_describes_what_it_takes_and_gives(self, engine: Engine) -> None:
        assert tuple(engine.inputs) == INPUTS
        assert tuple(engine.outputs) == OUTPUTS

    @pytest.mark.parametrize("rows", [1, 3, 0])
    def test_it_computes(self, engine: Engine, rows: int) -> None:
        inputs = feed(rows)
        outputs = engine.infer(inputs)
        assert list(outputs) == ["y", "z"]
        np.testing.assert_array_equal(outputs["y"], inputs["x"] * np.float32(2))
        np.testing.assert_array_equal(outputs["z"], TABLE[inputs["k"]])
        assert all(outputs[spec.name].dtype == spec.dtype for spec in OUTPUTS)
        assert all(spec.accepts_shape(outputs[spec.name].shape) for spec in OUTPUTS)

    def test_rows_do_not_see_each_other(self, engine: Engine) -> None:
        together = engine.infer(feed(5))["y"]
        alone = [
            engine.infer({name: array[i : i + 1] for name, array in feed(5).items()})["y"] for i in range(5)
        ]
        np.testing.assert_array_equal(together, np.concatenate(alone))

    @pytest.mark.parametrize("bad", list(BAD_INPUTS))
    def test_wrong_inputs_are_refused_with_what_was_expected(self, engine: Engine, bad: str) -> None:
        inputs, message = BAD_INPUTS[bad]
        with pytest.raises(EngineError, match=message):
            engine.infer(inputs)
        assert engine.infer(feed(1))["z"].shape == (1,)

    def test_a_run_that_fails_leaves_it_working(self, engine: Engine) -> None:
        with pytest.raises(EngineError):
            engine.infer({**feed(1), "k": np.array([7])})
        assert engine.infer(feed(2))["z"].shape == (2,)

    def test_results_stay_as_they_are(self, engine: Engine) -> None:
        inputs = feed(2)
        before = {name: array.copy() for name, array in inputs.items()}
        first = engine.infer(inputs)["y"]
        kept = first.copy()
        engine.infer(feed(2, start=50))
        np.testing.assert_array_equal(first, kept)
        assert all((inputs[name] == before[name]).all() for name in inputs)

    def test_arrays_may_lie_in_memory_as_they_like(self, engine: Engine) -> None:
        wide = np.arange(24, dtype=np.float32).reshape(4, 6).T[::2, :]
        assert not wide.flags.c_contiguous
        outputs = engine.infer({"x": wide, "k": np.arange(3)})
        np.testing.assert_array_equal(outputs["y"], wide * 2)

    def test_warming_up_changes_nothing(self, engine: Engine) -> None:
        engine.warm_up()
        engine.warm_up()
        assert engine.infer(feed(1))["z"][0] == TABLE[0]

    def test_a_closed_engine_says_so(self, engine: Engine) -> None:
        engine.close()
        engine.close()
        with pytest.raises(EngineError, match="closed"):
            engine.infer(feed(1))
