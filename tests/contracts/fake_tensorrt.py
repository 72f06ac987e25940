"""TensorRT in Python, of any generation, that really computes (with ONNX Runtime) and fails in TensorRT's ways.

It has the members that a generation has and no others, gives None and False where TensorRT does, refuses calls from a
thread without the GPU's context, and puts runs into the streams of `fake_cuda`. A plan is the ONNX model with what the
builder was told; one of another version or GPU is refused like a real one.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from edge_runtime.engine.cuda import CudaError
from tests.contracts.fake_cuda import FakeCuda, at

TYPES = {
    "FLOAT": (np.float32, 0),
    "HALF": (np.float16, 1),
    "INT8": (np.int8, 2),
    "INT32": (np.int32, 3),
    "BOOL": (np.bool_, 4),
    "UINT8": (np.uint8, 5),
    "INT64": (np.int64, 8),
}


class Member:
    """A member of an enum."""

    def __init__(self, name, number):
        self.name, self._number = name, number

    def __int__(self):
        return self._number

    def __repr__(self):
        return self.name


def members(*names):
    return SimpleNamespace(**{name: Member(name, number) for number, name in enumerate(names)})


@dataclass
class Faults:
    """What shall go wrong."""

    build: bool = False
    deserialize: bool = False
    context: bool = False
    execute: bool = False
    shape: bool = False
    lost: bool = False
    wrong: bool = False
    execute_in_capture: bool = False
    seen: list[str] = field(default_factory=list)


class FakeTensorRt:
    """The module `tensorrt`."""

    def __init__(  # noqa: C901 - its classes share what stands here
        self, cuda: FakeCuda, version: str = "10.3.0", faults: Faults | None = None
    ) -> None:
        self.__version__ = version
        major = int(version.partition(".")[0])
        self.faults = faults or Faults()
        self.cuda = cuda
        self.built: list[SimpleNamespace] = []
        fake, state = self, self.faults

        kinds = {
            name: Member(name, number)
            for name, (_, number) in TYPES.items()
            if major >= 10 or name != "INT64"
        }
        self.DataType = SimpleNamespace(**kinds)
        flags = {8: ("EXPLICIT_BATCH",), 10: ("EXPLICIT_BATCH", "STRONGLY_TYPED")}.get(
            major, ("STRONGLY_TYPED",)
        )
        self.NetworkDefinitionCreationFlag = members(*flags)
        self.BuilderFlag = members(*(("TF32", "REFIT") if major >= 11 else ("FP16", "INT8", "TF32", "REFIT")))
        self.MemoryPoolType = members("WORKSPACE")
        self.TensorIOMode = members("NONE", "INPUT", "OUTPUT")
        self.TensorLocation = members("DEVICE", "HOST")
        self.ILogger = type("ILogger", (), {"__init__": lambda _: None})
        self.IOutputAllocator = type("IOutputAllocator", (), {"__init__": lambda _: None})
        if major >= 10:
            self.IProgressMonitor = type("IProgressMonitor", (), {"__init__": lambda _: None})
            self.ExecutionContextAllocationStrategy = members("STATIC", "ON_PROFILE_CHANGE", "USER_MANAGED")

        def say(logger, text):
            logger.log(Member("ERROR", 1), text)

        class Builder:
            def __init__(self, logger):
                cuda.check()
                self.logger = logger

            def create_network(self, flags):
                wanted = (
                    {8: 1 << int(fake.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)} if major == 8 else {}
                )
                if major == 10:
                    wanted = {10: 1 << int(fake.NetworkDefinitionCreationFlag.STRONGLY_TYPED)}
                assert flags == wanted.get(major, 0), "the network is not strongly typed"
                return SimpleNamespace(model=b"", num_inputs=0, num_outputs=0)

            def create_builder_config(self):
                return Config()

            def create_optimization_profile(self):
                return Profile()

            def build_serialized_network(self, network, config):
                cuda.check()
                if state.build:
                    say(self.logger, "could not find any implementation for node Mul")
                    return None
                monitor = getattr(config, "progress_monitor", None)
                if monitor is not None:
                    monitor.phase_start("Building", None, 3)
                    monitor.phase_start("Tactics", "Building", 2)
                    for step in range(3):
                        monitor.step_complete("Tactics", step)
                        if not monitor.step_complete("Building", step):
                            say(self.logger, "stopped")
                            return None
                    monitor.phase_finish("Tactics")
                    monitor.phase_finish("Building")
                profiles = [each.shapes for each in config.profiles]
                plan = {
                    "model": network.model,
                    "profiles": profiles,
                    "version": fake.__version__,
                    "gpu": cuda.facts.name,
                }
                config.timings["tactics"] = config.timings.get("tactics", 0) + 1
                fake.built.append(SimpleNamespace(config=config, network=network, profiles=profiles))
                return HostMemory(pickle.dumps(plan))

        class Profile:
            def __init__(self):
                self.shapes = {}

            def set_shape(self, input, min, opt, max):  # noqa: A002 - TensorRT's names
                self.shapes[input] = (min, opt, max)

        class Config:
            def __init__(self):
                self.profiles, self.flags, self.limits, self.timings = [], {"TF32"}, {}, {}
                self.builder_optimization_level = 3

            def set_memory_pool_limit(self, pool, pool_size):
                self.limits[pool.name] = pool_size

            def set_flag(self, flag):
                self.flags.add(flag.name)

            def clear_flag(self, flag):
                self.flags.discard(flag.name)

            def add_optimization_profile(self, profile):
                self.profiles.append(profile)
                return len(self.profiles) - 1

            def create_timing_cache(self, serialized_timing_cache):
                if serialized_timing_cache and not serialized_timing_cache.startswith(b"TIMING"):
                    return None
                kept = pickle.loads(serialized_timing_cache[6:]) if serialized_timing_cache else {}  # noqa: S301
                return SimpleNamespace(
                    kept=kept, serialize=lambda: HostMemory(b"TIMING" + pickle.dumps(kept))
                )

            def set_timing_cache(self, cache, ignore_mismatch):
                assert ignore_mismatch is False
                self.timings, self.cache = cache.kept, cache
                return True

            def get_timing_cache(self):
                return self.cache

        class HostMemory:
            def __init__(self, data):
                self.data, self.nbytes = data, len(data)

            def __bytes__(self):
                return self.data

        class OnnxParser:
            def __init__(self, network, logger):  # noqa: ARG002
                cuda.check()
                self.network, self.errors = network, []

            @property
            def num_errors(self):
                return len(self.errors)

            def get_error(self, index):
                return SimpleNamespace(desc=lambda: self.errors[index])

            def parse(self, model, path):  # noqa: ARG002
                loaded = onnx.load(path)
                if any(node.op_type == "Unknown" for node in loaded.graph.node):
                    self.errors.append("No importer registered for op: Unknown")
                    return False
                self.network.model = loaded.SerializeToString()
                given = [
                    SimpleNamespace(name=each.name, shape=_dims(each), is_shape_tensor=each.name == "decides")
                    for each in loaded.graph.input
                ]
                self.network.num_inputs = len(given)
                self.network.get_input = lambda index: given[index]
                return True

        class Runtime:
            def __init__(self, logger):
                cuda.check()
                self.logger, self.engine_host_code_allowed = logger, True

            def __del__(self):
                cuda.destroyed("Runtime")

            def deserialize_cuda_engine(self, serialized_engine):
                cuda.check()
                assert self.engine_host_code_allowed is False
                state.seen.append("deserialize")
                plan = pickle.loads(serialized_engine)  # noqa: S301 - a plan is code, here as there
                if state.deserialize or plan["version"] != fake.__version__ or plan["gpu"] != cuda.facts.name:
                    say(self.logger, "The engine plan file is generated on an incompatible device")
                    return None
                return Engine(plan, self.logger)

        class Engine:
            def __init__(self, plan, logger):
                self.plan, self.logger, self._session = plan, logger, None
                model = onnx.load_from_string(plan["model"])
                self.model = _narrow(model) if major < 10 else model
                self.tensors = [*self.model.graph.input, *self.model.graph.output]
                self.num_io_tensors = len(self.tensors)
                self.num_optimization_profiles = max(len(plan["profiles"]), 1)
                size = 4096
                if major >= 10:
                    self.device_memory_size_v2 = size
                else:
                    self.device_memory_size = size

            def __del__(self):
                cuda.destroyed("ICudaEngine")

            def session(self):
                if self._session is None:
                    options = onnxruntime.SessionOptions()
                    options.intra_op_num_threads = 1
                    self._session = onnxruntime.InferenceSession(
                        self.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
                    )
                return self._session

            def _tensor(self, name):
                return next(each for each in self.tensors if each.name == name)

            def get_tensor_name(self, index):
                return self.tensors[index].name

            def get_tensor_mode(self, name):
                given = any(each.name == name for each in self.model.graph.input)
                return fake.TensorIOMode.INPUT if given else fake.TensorIOMode.OUTPUT

            def get_tensor_dtype(self, name):
                kind = helper.tensor_dtype_to_np_dtype(self._tensor(name).type.tensor_type.elem_type)
                return next(getattr(fake.DataType, key) for key, (each, _) in TYPES.items() if each == kind)

            def get_tensor_shape(self, name):
                return _dims(self._tensor(name))

            def get_tensor_location(self, name):
                return fake.TensorLocation.HOST if name == "decides" else fake.TensorLocation.DEVICE

            def _create(self, strategy):
                assert strategy.name == "USER_MANAGED"
                return self._create_old()

            def _create_old(self):
                cuda.check()
                if state.context:
                    say(self.logger, "out of memory")
                    return None
                return Context(self)

        class Context:
            def __init__(self, engine):
                self.engine, self.shapes, self.addresses, self.allocators = engine, {}, {}, {}
                self.profile, self.memory = 0, 0
                self.session = engine.session()

            def __del__(self):
                cuda.destroyed("IExecutionContext")

            def _set_memory(self, memory, size):
                assert size >= self.engine.device_memory_size_v2
                assert memory % 256 == 0
                self.memory = memory

            @property
            def device_memory(self):
                return self.memory

            @device_memory.setter
            def device_memory(self, memory):
                assert major < 10
                self.memory = memory

            def set_optimization_profile_async(self, profile_index, stream_handle):
                cuda.check()
                assert stream_handle in cuda.streams
                self.profile = profile_index
                return profile_index < self.engine.num_optimization_profiles

            def set_input_shape(self, name, shape):
                cuda.check()
                if state.shape:
                    return False
                profiles = self.engine.plan["profiles"]
                if profiles:
                    least, _, most = profiles[self.profile][name]
                    if not all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True)):
                        say(self.engine.logger, f"Static dimension mismatch for {name}: {shape}")
                        return False
                self.shapes[name] = tuple(shape)
                return True

            def infer_shapes(self):
                return [each.name for each in self.engine.model.graph.input if each.name not in self.shapes]

            def get_tensor_shape(self, name):
                if name in self.shapes:
                    return self.shapes[name]
                rows = next(iter(self.shapes.values()), (1,))[0]
                tensor = self.engine._tensor(name)
                named = [axis.dim_param for axis in tensor.type.tensor_type.shape.dim]
                return tuple(
                    rows if axis < 0 and name_of == "n" else axis
                    for axis, name_of in zip(_dims(tensor), named, strict=True)
                )

            def set_tensor_address(self, name, memory):
                cuda.check()
                assert memory, "no memory"
                self.addresses[name] = memory
                return True

            def set_output_allocator(self, name, output_allocator):
                cuda.check()
                self.allocators[name] = output_allocator
                return True

            def execute_async_v3(self, stream_handle):
                cuda.check()
                assert self.memory, "no working memory"
                if state.execute or (state.execute_in_capture and stream_handle in cuda.capturing):
                    say(self.engine.logger, "enqueueV3: Error Code 1: Cuda Runtime (invalid argument)")
                    return False
                shapes, addresses = dict(self.shapes), dict(self.addresses)
                cuda.put(stream_handle, "run", lambda: self._compute(shapes, addresses, stream_handle))
                return True

            def _compute(self, shapes, addresses, stream):
                if state.lost:
                    raise CudaError("cuEventSynchronize", 700, "an illegal memory access was encountered")
                inputs = {}
                for tensor in self.engine.model.graph.input:
                    kind = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.type.tensor_type.elem_type))
                    shape = shapes[tensor.name]
                    size = int(np.prod(shape)) * kind.itemsize
                    inputs[tensor.name] = at(addresses[tensor.name], size).view(kind).reshape(shape)
                names = [each.name for each in self.engine.model.graph.output]
                try:
                    outputs = self.session.run(names, inputs)
                except (
                    Exception
                ) as exc:  # what a kernel does on a GPU when it fails, and the context lives on
                    raise CudaError("cuEventSynchronize", 1, str(exc)) from exc
                for name, right in zip(names, outputs, strict=True):
                    value = right + right.dtype.type(1) if state.wrong else right
                    data = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
                    address = addresses.get(name)
                    if name in self.allocators:
                        allocator = self.allocators[name]
                        if major >= 10:
                            address = allocator.reallocate_output_async(name, 0, data.nbytes, 256, stream)
                        else:
                            address = allocator.reallocate_output(name, 0, data.nbytes, 256)
                        if not address:
                            raise CudaError("cuEventSynchronize", 2, "out of memory")
                        allocator.notify_shape(name, value.shape)
                    at(address, data.nbytes)[:] = data

        if major >= 10:
            Engine.create_execution_context = Engine._create
            Context.set_device_memory = Context._set_memory
        else:
            Engine.create_execution_context_without_device_memory = Engine._create_old
        self.Builder, self.OnnxParser, self.Runtime = Builder, OnnxParser, Runtime


def _dims(value):
    return tuple(axis.dim_value or -1 for axis in value.type.tensor_type.shape.dim)


def _narrow(model):
    """Do what TensorRT 8 does: integers of inputs and outputs have 32 bits."""
    graph = model.graph
    for tensor in [*graph.input]:
        if tensor.type.tensor_type.elem_type == TensorProto.INT64:
            tensor.type.tensor_type.elem_type = TensorProto.INT32
            wide = f"{tensor.name}:wide"
            for node in graph.node:
                for place, name in enumerate(node.input):
                    if name == tensor.name:
                        node.input[place] = wide
            graph.node.insert(0, helper.make_node("Cast", [tensor.name], [wide], to=TensorProto.INT64))
    return model
