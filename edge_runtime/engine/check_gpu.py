"""The GPU's part of `tiers-edge check`: whether models run in TensorRT here, and if not, what is missing.

Looks in the order in which the engine does: driver, device, TensorRT, the door to CUDA; then it opens the GPU.
"""

from __future__ import annotations

from edge_runtime.engine.choose import machine_tools
from edge_runtime.engine.cuda import find_gpu
from edge_runtime.engine.generation import installed_version
from toolkit.errors import TiersError


def check_gpu() -> list[tuple[str, str]]:
    """Give (subject, finding) of the GPU and of TensorRT. Nothing of it is an error: ONNX Runtime serves anyhow."""
    if why := find_gpu():
        version = installed_version()
        return [
            ("gpu", f"none: {why}"),
            ("tensorrt", f"{version or 'not installed'}, not used without a GPU"),
        ]
    try:
        tools = machine_tools()
    except TiersError as error:
        cure = f"; {error.hint}" if error.hint else ""
        return [("gpu", "there is one"), ("tensorrt", f"not used: {error.message}{cure}")]
    facts = tools.gpu.facts
    memory = "shares the host's memory and caches: no copies" if facts.zero_copy else "copies in and out"
    major, minor = divmod(facts.driver, 1000)
    capability = ".".join(map(str, facts.capability))
    return [
        ("gpu", f"{facts.name}, compute capability {capability}, CUDA {major}.{minor // 10}, {memory}"),
        ("tensorrt", f"{tools.trt.__version__}, CUDA through {tools.gpu.cuda.door}"),
    ]
