"""What the engines use of TensorRT's Python module, as types: nothing else of it may be called, and mypy sees to that.

TensorRT is not installed where this is written and checked, so its classes stand here by name, with the arguments that
are given by name. tests/edge_runtime/engine/conformance imports the real bindings of three generations and asserts that
every member and argument below exists there; `ONLY` says which ones belong to some generations alone. `generation`
hides those differences; `build`, `lane` and `tensorrt_engine` use the rest.
Names: https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/python-api/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

ONLY: Final[dict[str, tuple[int, int]]] = {
    "NetworkDefinitionCreationFlag.EXPLICIT_BATCH": (8, 8),
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED": (10, 10),
    "BuilderFlag.FP16": (8, 8),
    "BuilderFlag.INT8": (8, 8),
    "DataType.INT64": (10, 99),
    "ICudaEngine.create_execution_context": (10, 99),
    "ICudaEngine.create_execution_context_without_device_memory": (8, 8),
    "ICudaEngine.device_memory_size": (8, 8),
    "ICudaEngine.device_memory_size_v2": (10, 99),
    "IExecutionContext.device_memory": (8, 8),
    "IExecutionContext.set_device_memory": (10, 99),
    "ExecutionContextAllocationStrategy.USER_MANAGED": (10, 99),
    "IBuilderConfig.progress_monitor": (10, 99),
    "IProgressMonitor.__init__": (10, 99),
}
"""Members that are used in some generations only: first and last major version."""


CALLED_BACK: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "ILogger": {"log": ("severity", "msg")},
    "IProgressMonitor": {
        "phase_start": ("phase_name", "parent_phase", "num_steps"),
        "step_complete": ("phase_name", "step"),
        "phase_finish": ("phase_name",),
    },
    "IOutputAllocator": {
        "reallocate_output": ("tensor_name", "memory", "size", "alignment"),
        "reallocate_output_async": ("tensor_name", "memory", "size", "alignment", "stream"),
        "notify_shape": ("tensor_name", "shape"),
    },
}
"""Methods that TensorRT calls on classes that `callbacks` makes, with the arguments that it gives."""


class Enumerated(Protocol):
    """A member of an enum of TensorRT."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    def __int__(self) -> int:
        """Its number."""
        ...


class NetworkDefinitionCreationFlag(Protocol):
    """Kinds of networks."""

    EXPLICIT_BATCH: Enumerated
    STRONGLY_TYPED: Enumerated


class BuilderFlag(Protocol):
    """What a builder may do."""

    TF32: Enumerated
    FP16: Enumerated
    INT8: Enumerated


class MemoryPoolType(Protocol):
    """Memory of which a builder may be given less."""

    WORKSPACE: Enumerated


class DataType(Protocol):
    """Element types; those that have one in NumPy."""

    FLOAT: Enumerated
    HALF: Enumerated
    INT8: Enumerated
    INT32: Enumerated
    INT64: Enumerated
    UINT8: Enumerated
    BOOL: Enumerated


class TensorIOMode(Protocol):
    """Which way a tensor goes."""

    INPUT: Enumerated


class TensorLocation(Protocol):
    """Where a tensor must lie."""

    DEVICE: Enumerated


class ExecutionContextAllocationStrategy(Protocol):
    """Who gives a context its working memory."""

    USER_MANAGED: Enumerated


class ILogger(Protocol):
    """What TensorRT tells; `callbacks` makes a class of it."""

    ERROR: Enumerated
    INTERNAL_ERROR: Enumerated
    WARNING: Enumerated
    INFO: Enumerated
    VERBOSE: Enumerated

    def __init__(self) -> None:
        """Must be called by the class that is made."""


class IProgressMonitor(Protocol):
    """Told how far a build is; `callbacks` makes a class of it."""

    def __init__(self) -> None:
        """Must be called by the class that is made."""


class IOutputAllocator(Protocol):
    """Asked for memory when an output's size is known only during the run; `callbacks` makes a class of it."""

    def __init__(self) -> None:
        """Must be called by the class that is made."""


class IHostMemory(Protocol):
    """Bytes that TensorRT holds."""

    @property
    def nbytes(self) -> int:
        """How many."""
        ...

    def __bytes__(self) -> bytes:
        """Copy them; the real class gives a buffer, which `bytes` takes as well."""
        ...


class ITimingCache(Protocol):
    """How fast kernels were."""

    def serialize(self) -> IHostMemory:
        """Give it as bytes."""
        ...


class IOptimizationProfile(Protocol):
    """Which lengths of free axes a plan is tuned for."""

    def set_shape(self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int]) -> None:  # noqa: A002
        """Say so of one input."""
        ...


class IBuilderConfig(Protocol):
    """How to build."""

    progress_monitor: IProgressMonitor
    builder_optimization_level: int

    def set_memory_pool_limit(self, pool: Enumerated, pool_size: int) -> None:
        """Give a pool at most so many bytes."""
        ...

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None:
        """Read a timing cache; no bytes make an empty one."""
        ...

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:  # noqa: FBT001 - TensorRT's name
        """Use it; False when it is from another machine."""
        ...

    def get_timing_cache(self) -> ITimingCache | None:
        """Give what is used, with what was learned."""
        ...

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        """Add a profile; -1 when it is not one for this network."""
        ...

    def set_flag(self, flag: Enumerated) -> None:
        """Allow something."""
        ...

    def clear_flag(self, flag: Enumerated) -> None:
        """Forbid something."""
        ...


class ITensor(Protocol):
    """A tensor of a network."""

    name: str
    shape: Sequence[int]
    is_shape_tensor: bool


class INetworkDefinition(Protocol):
    """A network that is being put together."""

    num_inputs: int

    def get_input(self, index: int) -> ITensor:
        """Give an input."""
        ...


class Builder(Protocol):
    """Makes plans."""

    def __init__(self, logger: ILogger) -> None:
        """Begin."""

    def create_network(self, flags: int) -> INetworkDefinition:
        """Begin a network."""
        ...

    def create_builder_config(self) -> IBuilderConfig:
        """Begin a configuration."""
        ...

    def create_optimization_profile(self) -> IOptimizationProfile:
        """Begin a profile."""
        ...

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        """Build; None when that failed, with the reason in the log only."""
        ...


class ParserError(Protocol):
    """Why a model was not understood."""

    def desc(self) -> str:
        """Say it."""
        ...


class OnnxParser(Protocol):
    """Reads ONNX."""

    num_errors: int

    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        """Read into this network."""

    def parse(self, model: bytes, path: str) -> bool:
        """Read a model; `path` is where it came from, for files of weights beside it."""
        ...

    def get_error(self, index: int) -> ParserError:
        """Give an error."""
        ...


class IExecutionContext(Protocol):
    """One run of an engine at a time."""

    device_memory: int

    def set_device_memory(self, memory: int, size: int) -> None:
        """Give it working memory."""
        ...

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        """Choose the profile."""
        ...

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        """Say how large an input is."""
        ...

    def infer_shapes(self) -> list[str]:
        """Work out all shapes; gives the names of tensors of which too little is known."""
        ...

    def get_tensor_shape(self, name: str) -> Sequence[int]:
        """Give a shape; -1 is an axis that only the run will tell."""
        ...

    def set_tensor_address(self, name: str, memory: int) -> bool:
        """Say where a tensor lies."""
        ...

    def set_output_allocator(self, name: str, output_allocator: IOutputAllocator) -> bool:
        """Say who gives memory to an output."""
        ...

    def execute_async_v3(self, stream_handle: int) -> bool:
        """Put the run into a stream; False when that failed."""
        ...


class ICudaEngine(Protocol):
    """A plan in memory."""

    num_io_tensors: int
    num_optimization_profiles: int
    device_memory_size: int
    device_memory_size_v2: int

    def get_tensor_name(self, index: int) -> str:
        """Give a tensor's name."""
        ...

    def get_tensor_mode(self, name: str) -> Enumerated:
        """Tell inputs from outputs."""
        ...

    def get_tensor_dtype(self, name: str) -> Enumerated:
        """Give its element type."""
        ...

    def get_tensor_shape(self, name: str) -> Sequence[int]:
        """Give its shape, -1 for free axes."""
        ...

    def get_tensor_location(self, name: str) -> Enumerated:
        """Say where it must lie."""
        ...

    def create_execution_context(self, strategy: Enumerated) -> IExecutionContext | None:
        """Make a context; None when that failed."""
        ...

    def create_execution_context_without_device_memory(self) -> IExecutionContext | None:
        """Make a context that is given its memory later (TensorRT 8)."""
        ...


class Runtime(Protocol):
    """Brings plans into memory."""

    engine_host_code_allowed: bool

    def __init__(self, logger: ILogger) -> None:
        """Begin."""

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        """Bring a plan into memory; None when it is not for this machine, with the reason in the log only."""
        ...


# Inside the module's class these names mean its members.
AnyLogger: TypeAlias = ILogger
AnyBuilder: TypeAlias = Builder
AnyRuntime: TypeAlias = Runtime
AnyParser: TypeAlias = OnnxParser


class TensorRt(Protocol):
    """The module itself."""

    __version__: str
    NetworkDefinitionCreationFlag: NetworkDefinitionCreationFlag
    BuilderFlag: BuilderFlag
    MemoryPoolType: MemoryPoolType
    DataType: DataType
    TensorIOMode: TensorIOMode
    TensorLocation: TensorLocation
    ExecutionContextAllocationStrategy: ExecutionContextAllocationStrategy
    ILogger: type[AnyLogger]
    IProgressMonitor: type[IProgressMonitor]
    IOutputAllocator: type[IOutputAllocator]

    def Builder(self, logger: AnyLogger) -> AnyBuilder:  # noqa: N802 - a class of TensorRT
        """Make a builder; kills the process where there is no GPU (TensorRT 8.6), so `cuda.find_gpu` comes first."""
        ...

    def Runtime(self, logger: AnyLogger) -> AnyRuntime:  # noqa: N802
        """Make a runtime."""
        ...

    def OnnxParser(self, network: INetworkDefinition, logger: AnyLogger) -> AnyParser:  # noqa: N802
        """Make a parser."""
        ...
