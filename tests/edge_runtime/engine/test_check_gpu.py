"""What `tiers-edge check` says of GPU and TensorRT, on machines with a fake driver and a fake TensorRT."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CASES = {
    "none": ({"FAKE_CUDA_DEVICES": "0"}, "none: the CUDA driver has no device", "not used without a GPU"),
    "discrete": (
        {},
        "Fake GPU, compute capability 8.6, CUDA 12.6, copies in and out",
        "10.3.0, CUDA through ",
    ),
    "tegra": (
        {"FAKE_CUDA_TEGRA": "1"},
        "8.7, CUDA 12.6, shares the host's memory and caches: no copies",
        "10.3.0",
    ),
    "no tensorrt": ({"PYTHONPATH": str(ROOT)}, "there is one", "--system-site-packages"),
    "too old": ({"FAKE_TENSORRT": "8.4.1"}, "there is one", "TensorRT 8.4.1 is too old"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_the_gpu_and_tensorrt_are_told(start, case):
    environment, gpu, tensorrt = CASES[case]
    said = json.loads(start("-m", "edge_runtime", "check", "--json", **environment).stdout)
    assert gpu in said["gpu"]
    assert tensorrt in said["tensorrt"]
