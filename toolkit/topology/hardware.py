"""Hardware profiles: what one machine of a pool is made of.

Stands under pool. Known profiles are the rows of PROFILES; a site adds its own under `hardware:`.
Versions of JetPack, TensorRT and compute capabilities are NVIDIA's (JetPack release notes, CUDA GPU list).
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from toolkit.topology.names import LabelKey, LabelValue
from toolkit.topology.noun import Noun
from toolkit.topology.units import Bytes

Precision = Literal["fp32", "fp16", "int8"]
Runtime = Literal["tensorrt", "onnxruntime"]
_CAPABILITY = r"^[0-9]+\.[0-9]$"


def _read_capability(value: object) -> object:
    """Let `compute_capability: 8.7` be written without quotes."""
    text = str(value) if isinstance(value, float) else value
    if not isinstance(text, str) or re.fullmatch(_CAPABILITY, text, re.ASCII) is None:
        raise PydanticCustomError(
            "E0309", "'compute_capability' should be two numbers with a point, such as 8.7"
        )
    return text


Capability = Annotated[
    str,
    BeforeValidator(_read_capability, json_schema_input_type=str | float),
    Field(json_schema_extra={"pattern": _CAPABILITY}),
]
"""CUDA compute capability."""


class Hardware(Noun):
    """One machine: processor, accelerator, software that comes with it."""

    arch: Literal["arm64", "amd64"] = "amd64"
    """Processor, in Kubernetes' words."""
    cpus: Annotated[int, Field(ge=1)] | None = None
    """Processor cores of one machine, when the profile fixes them."""
    memory: Bytes | None = None
    """Main memory of one machine, when the profile fixes it; a Jetson shares it with its GPU."""
    gpus: Annotated[int, Field(ge=0)] | None = None
    """GPUs of one machine; nothing when a pool has to say it."""
    gpu_memory: Bytes | None = None
    """Memory of one GPU that has its own."""
    gpu_product: str | None = None
    """Value of the node label nvidia.com/gpu.product."""
    compute_capability: Capability | None = None
    """CUDA compute capability of the GPU, such as 8.7."""
    jetpack: Annotated[int, Field(ge=4)] | None = None
    """Major version of JetPack on a Jetson."""
    runtime: Runtime = "onnxruntime"
    """Engine that runs models there."""
    precisions: tuple[Precision, ...] = ("fp32", "fp16", "int8")
    """Number formats that the machine runs faster than or as fast as fp32."""
    labels: Mapping[LabelKey, LabelValue] = {}
    """Node labels that every machine of this kind carries, beside those of its pool."""
    memory_per_cpu: Bytes | None = None
    """Main memory for each core, at least; a pool that says both is held to it."""

    @property
    def is_jetson(self) -> bool:
        """Tell whether this is a Jetson: GPU inside the processor, software from JetPack."""
        return self.jetpack is not None


def _jetson(cpus: int, memory: str, capability: str) -> Hardware:
    """Describe a Jetson Orin with JetPack 6 (TensorRT 10.3, Python 3.10)."""
    return Hardware(
        arch="arm64",
        cpus=cpus,
        memory=Bytes.parse(memory),
        gpus=1,
        compute_capability=capability,
        jetpack=6,
        runtime="tensorrt",
    )


def _card(product: str, memory: str, capability: str) -> Hardware:
    """Describe a server with data-centre GPUs; a pool says how many stand in one machine."""
    return Hardware(
        gpu_memory=Bytes.parse(memory), gpu_product=product, compute_capability=capability, runtime="tensorrt"
    )


PROFILES: dict[str, Hardware] = {
    "jetson-orin-nano": _jetson(6, "8GiB", "8.7"),
    "jetson-orin-nx": _jetson(8, "16GiB", "8.7"),
    "jetson-agx-orin": _jetson(12, "64GiB", "8.7"),
    # JetPack 4 is the last one for it: Python 3.6 and TensorRT 8.2, which our TensorRT engine does not speak.
    "jetson-nano": Hardware(
        arch="arm64",
        cpus=4,
        memory=Bytes.parse("4GiB"),
        gpus=1,
        compute_capability="5.3",
        jetpack=4,
        runtime="onnxruntime",
        precisions=("fp32", "fp16"),
    ),
    "a100-sxm-40gb": _card("NVIDIA-A100-SXM4-40GB", "40GiB", "8.0"),
    "a100-sxm-80gb": _card("NVIDIA-A100-SXM4-80GB", "80GiB", "8.0"),
    "h100-sxm-80gb": _card("NVIDIA-H100-80GB-HBM3", "80GiB", "9.0"),
    "h200-sxm-141gb": _card("NVIDIA-H200", "141GiB", "9.0"),
    "l4-24gb": _card("NVIDIA-L4", "24GiB", "8.9"),
    "cpu-node": Hardware(gpus=0),
    # Eight GiB for each core is what the clouds sell as memory-optimised (r-, E- and m-highmem machines); a language
    # model of a few billion weights and its batch of records fit beside each other there.
    "cpu-memory-node": Hardware(
        gpus=0, labels={"tiers.dev/memory": "high"}, memory_per_cpu=Bytes.parse("8GiB")
    ),
    "nvme-node": Hardware(gpus=0),
    "cache-node": Hardware(gpus=0),
    "hdd-node": Hardware(gpus=0),
}
"""Known hardware by the name that `hardware:` of a pool takes."""
