from __future__ import annotations

import os
import subprocess
import sys

import pytest

from edge_runtime.engine.gpu import Gpu
from edge_runtime.engine.plan import Plans
from tests.contracts.fake_cuda import DISCRETE, FakeCuda
from tests.contracts.fake_machine import Bench
from tests.contracts.fake_tensorrt import FakeTensorRt, Faults


@pytest.fixture
def bench(tmp_path):
    """Give a function that makes machines; at the end nothing may be left on any of them."""
    made = []

    def make(version="10.3.0", facts=DISCRETE):
        cuda = FakeCuda(facts)
        gpu = Gpu(lambda: cuda)
        made.append(Bench(cuda, FakeTensorRt(cuda, version, Faults()), gpu, Plans(tmp_path / "plans")))
        return made[-1]

    yield make
    for each in made:
        each.gpu.close(seconds=120)
        assert each.cuda.thread is None, "the context was not left"


@pytest.fixture
def start(fake_gpu):
    """Give a function that runs Python on a machine with that driver."""

    def run(*arguments, check=True, **environment):
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={**os.environ, **fake_gpu, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    return run
