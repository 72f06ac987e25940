"""The engine on the real thing, where there is one: build, contract, graphs. On every other machine it is skipped.

    pytest tests/edge_runtime/engine/test_on_a_gpu.py -ra

This is the check of a device (docs/guides/tensorrt.md); nobody has run it on one yet.
"""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.engine.build import BuildSettings, ensure_plan
from edge_runtime.engine.choose import machine_tools
from edge_runtime.engine.cuda import find_gpu
from edge_runtime.engine.generation import installed_version
from edge_runtime.engine.onnxruntime_engine import OnnxRuntimeEngine
from edge_runtime.engine.plan import Plans
from edge_runtime.engine.tensorrt_engine import TensorRtEngine
from tests.contracts.engine import EngineContract, contract_model, feed

WHY_NOT = find_gpu() or ("" if installed_version() else "TensorRT is not installed")
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=f"needs hardware: {WHY_NOT}")


def opened(folder, *, graphs=True):
    tools = machine_tools()
    plans = Plans(folder / "plans")
    built = ensure_plan(tools, contract_model(folder / "m.onnx"), BuildSettings(max_batch=4), plans)
    return TensorRtEngine(tools.gpu, tools.trt, *plans.load(built.header.key), graphs=graphs)


@pytest.fixture(scope="module", params=[True, False], ids=["graphs", "no graphs"])
def shared(request, tmp_path_factory):
    engine = opened(tmp_path_factory.mktemp("gpu"), graphs=request.param)
    engine.warm_up()
    yield engine
    engine.close()


class TestTensorRtOnThisGpu(EngineContract):
    @pytest.fixture
    def engine(self, shared):
        return shared

    @pytest.fixture(autouse=True)
    def not_what_differs_on_a_gpu(self, request):
        if request.node.name.startswith("test_a_run_that_fails"):
            pytest.skip("needs hardware that fails: a GPU reads beyond a table without a word")

    def test_a_closed_engine_says_so(self, tmp_path):
        super().test_a_closed_engine_says_so(opened(tmp_path))


def test_it_gives_what_onnx_runtime_gives(tmp_path):
    engine, reference = opened(tmp_path), OnnxRuntimeEngine(contract_model(tmp_path / "o.onnx"))
    for rows in (1, 3, 4, 9):
        for name, array in engine.infer(feed(rows)).items():
            np.testing.assert_allclose(array, reference.infer(feed(rows))[name], rtol=1e-6)
    engine.close()
