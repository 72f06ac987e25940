"""A machine with a GPU and TensorRT, both fakes, and a folder of plans; the fixture `bench` makes them."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.engine.build import BuildSettings, Tools, ensure_plan
from edge_runtime.engine.gpu import Gpu
from edge_runtime.engine.plan import Plans
from edge_runtime.engine.tensorrt_engine import TensorRtEngine
from tests.contracts.fake_cuda import FakeCuda
from tests.contracts.fake_tensorrt import FakeTensorRt

VERSIONS = ("8.6.1", "10.3.0", "11.4.1")
"""One of each generation."""


@dataclass
class Bench:
    """A machine with a GPU."""

    cuda: FakeCuda
    trt: FakeTensorRt
    gpu: Gpu
    plans: Plans

    @property
    def tools(self):
        return Tools(self.trt, self.gpu)

    @property
    def faults(self):
        return self.trt.faults

    def open(self, model, *, max_batch=8, graphs=True):
        settings = BuildSettings(max_batch=max_batch)
        built = ensure_plan(self.tools, model, settings, self.plans)
        header, plan = self.plans.load(built.header.key)
        return TensorRtEngine(self.gpu, self.trt, header, plan, graphs=graphs)
