from __future__ import annotations

import threading

import numpy as np
import pytest
from onnx import TensorProto, helper

from edge_runtime.engine.onnxruntime_engine import OnnxRuntimeEngine
from edge_runtime.engine.weights import read_ahead, weight_bytes, weight_files
from toolkit.errors import EngineError

SIDE = 64


def sharded(folder, shards: int):
    """Write y = x · w0 · w1 · …, each weight in a file of its own, and give (file, product)."""
    rng = np.random.default_rng(7)
    nodes, tensors, before, product = [], [], "x", np.eye(SIDE, dtype=np.float32)
    for shard in range(shards):
        weight = rng.standard_normal((SIDE, SIDE)).astype(np.float32)
        (folder / f"w{shard}.bin").write_bytes(weight.tobytes())
        tensor = TensorProto(name=f"w{shard}", data_type=TensorProto.FLOAT, dims=weight.shape)
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", f"w{shard}.bin"
        tensors.append(tensor)
        after = "y" if shard == shards - 1 else f"a{shard}"
        nodes.append(helper.make_node("MatMul", [before, f"w{shard}"], [after]))
        before, product = after, product @ weight
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", SIDE])],
        tensors,
    )
    file = folder / "m.onnx"
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    file.write_bytes(model.SerializeToString())
    return file, product


def test_files_of_weights_are_found_and_counted(tmp_path):
    file, _ = sharded(tmp_path, 3)
    assert [each.name for each in weight_files(file)] == ["m.onnx", "w0.bin", "w1.bin", "w2.bin"]
    assert weight_bytes(file) == file.stat().st_size + 3 * SIDE * SIDE * 4


def test_all_of_them_are_read_and_the_progress_ends_at_the_whole(tmp_path):
    file, product = sharded(tmp_path, 3)
    told: list[tuple[int, int]] = []
    threads = set()

    def progress(done, total):
        threads.add(threading.current_thread().name)
        told.append((done, total))

    assert read_ahead(file, progress, small=0, free_memory=1 << 40) == weight_bytes(file)
    assert told[-1] == (weight_bytes(file), weight_bytes(file))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(told) == 4
    assert all(name.startswith("weights") for name in threads)
    x = np.ones((2, SIDE), np.float32)
    np.testing.assert_allclose(OnnxRuntimeEngine(file).infer({"x": x})["y"], x @ product, rtol=1e-4)


@pytest.mark.parametrize("case", [{"small": 1 << 30}, {"free_memory": 10}, {"shards": 0}])
def test_it_leaves_small_lone_and_too_large_models_alone(tmp_path, case):
    shards = case.pop("shards", 2)
    file, _ = sharded(tmp_path, shards)
    assert read_ahead(file, **{"small": 0, "free_memory": 1 << 40, **case}) == 0


def test_a_missing_file_is_named_with_the_cure(tmp_path):
    file, _ = sharded(tmp_path, 2)
    (tmp_path / "w1.bin").unlink()
    for ask in (weight_files, read_ahead, OnnxRuntimeEngine):
        with pytest.raises(EngineError, match=r"weights are in 'w1\.bin', which is not there") as caught:
            ask(file)
        assert "push the model again" in caught.value.hint
