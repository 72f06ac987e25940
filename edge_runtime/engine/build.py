"""Make a plan of a model with TensorRT, on the machine that will run it: minutes of work, kept by `plan`.

`tiers-edge build` calls it, by hand or as the child of whoever needs a plan (`builder`); never the process that serves,
because a build takes the GPU's thread, gigabytes of memory, and may crash. What goes in is strongly typed ONNX; what is
allowed beyond that says `generation`. A model gets one profile for each bucket of rows (1, 2, 4, 8, …).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from edge_runtime.engine.base import TensorSpec, has_free_rows, rising_buckets
from edge_runtime.engine.callbacks import Progress, Said, make_logger, make_monitor
from edge_runtime.engine.generation import allow_formats, network_flags, tells_progress
from edge_runtime.engine.gpu import Gpu
from edge_runtime.engine.onnx_signature import Signature, read_signature
from edge_runtime.engine.plan import (
    PlanHeader,
    PlanKey,
    PlanRefusedError,
    Plans,
    keep_specs,
    model_digest,
)
from edge_runtime.engine.trt_types import (
    Builder,
    IBuilderConfig,
    ILogger,
    INetworkDefinition,
    IProgressMonitor,
    TensorRt,
)
from edge_runtime.facts import read_fingerprint
from toolkit.errors import EngineError
from toolkit.wire.plan import MOST_PLAN_BYTES

RECIPE: Final = 1
"""Goes up when this file builds otherwise, so that older plans are built again."""
GIB: Final = 1024**3
Tell = Callable[[str, int, int], None]
"""Gets (phase, steps done, steps in all)."""


class BuildSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a plan is built; part of its key."""

    max_batch: int = 8
    """Rows of the largest bucket, where the model leaves them free."""
    workspace_bytes: int = GIB
    """Most working memory that TensorRT may use, while it builds and while it runs."""
    level: int = 3
    """TensorRT's optimization level, 0 to 5: how long it looks for faster kernels."""

    def digest(self) -> str:
        """Give what stands in a key."""
        return hashlib.sha256(msgspec.json.encode((RECIPE, self))).hexdigest()[:16]


class UnsuitableModelError(EngineError):
    """TensorRT cannot have this model, whatever the machine; ONNX Runtime serves it."""


@dataclass(frozen=True)
class Tools:
    """TensorRT and the GPU of this machine."""

    trt: TensorRt
    gpu: Gpu

    def key(self, model_file: Path, settings: BuildSettings) -> PlanKey:
        """Give the key of a model's plan on this machine.

        Raises:
            EngineError: a file of the model is missing or cannot be read.
        """
        facts, gpu = read_fingerprint(), self.gpu.facts
        return PlanKey(
            model=model_digest(model_file),
            settings=settings.digest(),
            tensorrt=self.trt.__version__,
            capability=".".join(map(str, gpu.capability)),
            gpu=gpu.name,
            device_model=facts.device_model,
            l4t=facts.l4t,
            driver=gpu.driver,
            architecture=facts.architecture,
        )


@dataclass(frozen=True)
class Built:
    """What `ensure_plan` did."""

    file: Path
    header: PlanHeader
    fresh: bool
    """It was built now; else it was there."""


def ensure_plan(
    tools: Tools,
    model_file: Path,
    settings: BuildSettings,
    plans: Plans,
    *,
    tell: Tell = lambda _phase, _done, _steps: None,
    seconds: float = 3600.0,
) -> Built:
    """Give the plan of this model on this machine; build it where there is none. Two builders take turns.

    Args:
        tools: TensorRT and the GPU.
        model_file: the ONNX file; weights may lie beside it.
        settings: how to build.
        plans: where plans are kept.
        tell: told how far it is, from the thread of the GPU.
        seconds: longest time (TensorRT 10 and later; 8 cannot be interrupted).

    Raises:
        UnsuitableModelError: TensorRT cannot have this model.
        EngineError: the model is broken, or the build failed; the message has TensorRT's reason.
        StoreError: the disk did not take the plan.
    """
    key = tools.key(model_file, settings)
    with plans.building(key):
        try:
            header, _ = plans.load(key)
        except PlanRefusedError:
            pass
        else:
            return Built(plans.file(key), header, fresh=False)
        signature = read_signature(model_file)
        began = time.monotonic()
        work = _Work(tools.trt, model_file, signature, settings, plans, Progress(tell, began + seconds))
        plan, buckets = tools.gpu.call(work.build)
        header = PlanHeader(
            key=key,
            inputs=keep_specs(signature.inputs),
            outputs=keep_specs(signature.outputs),
            buckets=buckets,
            plan_bytes=len(plan),
            plan_sha256=hashlib.sha256(plan).hexdigest(),
            seconds=time.monotonic() - began,
        )
        return Built(plans.store(header, plan), header, fresh=True)


def plan_buckets(signature: Signature, settings: BuildSettings, model: str) -> tuple[int, ...]:
    """Give the numbers of rows that a plan of this model is tuned for.

    Raises:
        UnsuitableModelError: an axis other than the rows is free, and nobody said which lengths it has.
    """
    for spec in signature.inputs:
        if None in spec.shape[1:]:
            raise UnsuitableModelError(
                f"{model}: {spec} has free axes besides its rows; TensorRT must know their lengths",
                hint="export the model with fixed sizes, or set engine: onnxruntime",
            )
    free = {spec.name for spec in signature.inputs if spec.shape and spec.shape[0] is None}
    if free and not has_free_rows(signature.inputs):
        raise UnsuitableModelError(f"{model}: its rows are free in {', '.join(sorted(free))} alone")
    if free:
        return rising_buckets(settings.max_batch)
    first = signature.inputs[0].shape if signature.inputs else ()
    return (first[0] or 1,) if first else (1,)


@dataclass
class _Work:
    """One build, on the GPU's thread."""

    trt: TensorRt
    file: Path
    signature: Signature
    settings: BuildSettings
    plans: Plans
    progress: Progress
    monitor: IProgressMonitor | None = None
    """TensorRT holds no reference of its own to it."""

    def build(self) -> tuple[bytes, tuple[int, ...]]:
        """Give the plan's bytes and the rows of its profiles."""
        buckets = plan_buckets(self.signature, self.settings, self.file.name)
        said = Said()
        logger = make_logger(self.trt, said)
        builder = self.trt.Builder(logger)
        network = builder.create_network(network_flags(self.trt))
        self._parse(network, said, logger)
        config = self._configure(builder, network, buckets, said)
        name = self._use_timing_cache(config)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            if self.progress.late:
                raise EngineError(
                    f"{self.file.name}: the build did not end in its time", hint="give it more: --seconds"
                )
            raise EngineError(
                f"{self.file.name}: TensorRT {self.trt.__version__} cannot build it: {said.reason()}"
            )
        if plan.nbytes > MOST_PLAN_BYTES:
            raise EngineError(
                f"{self.file.name}: its plan has {plan.nbytes} bytes; at most {MOST_PLAN_BYTES} are kept"
            )
        if (learned := config.get_timing_cache()) is not None:
            self.plans.write_extra(name, bytes(learned.serialize()))
        return bytes(plan), buckets

    def _parse(self, network: INetworkDefinition, said: Said, logger: ILogger) -> None:
        parser = self.trt.OnnxParser(network, logger)
        try:
            model = self.file.read_bytes()
        except OSError as exc:
            raise EngineError(f"{self.file}: cannot be read: {exc}") from exc
        if not parser.parse(model, str(self.file)):
            errors = [parser.get_error(number).desc() for number in range(parser.num_errors)]
            why = "; ".join(errors)[:600] or said.reason()
            raise UnsuitableModelError(
                f"{self.file.name}: TensorRT {self.trt.__version__} does not take this model: {why}",
                hint="export it with operators that TensorRT knows, or set engine: onnxruntime",
            )
        given = [network.get_input(number) for number in range(network.num_inputs)]
        if shapes := [tensor.name for tensor in given if tensor.is_shape_tensor]:
            raise UnsuitableModelError(
                f"{self.file.name}: input {shapes[0]!r} decides over shapes, which is not supported",
                hint="set engine: onnxruntime for this model",
            )

    def _configure(
        self, builder: Builder, network: INetworkDefinition, buckets: Sequence[int], said: Said
    ) -> IBuilderConfig:
        config = builder.create_builder_config()
        config.set_memory_pool_limit(self.trt.MemoryPoolType.WORKSPACE, self.settings.workspace_bytes)
        config.builder_optimization_level = self.settings.level
        allow_formats(self.trt, config, self.signature)
        if tells_progress(self.trt):
            self.monitor = make_monitor(self.trt, self.progress)
            config.progress_monitor = self.monitor
        given = [network.get_input(number) for number in range(network.num_inputs)]
        if any(-1 in tuple(tensor.shape) for tensor in given):
            specs = {spec.name: spec for spec in self.signature.inputs}
            for bucket in buckets:
                profile = builder.create_optimization_profile()
                for tensor in given:
                    shape = partial(_sized, specs[tensor.name])
                    profile.set_shape(tensor.name, shape(1), shape(bucket), shape(bucket))
                if config.add_optimization_profile(profile) < 0:
                    raise EngineError(f"TensorRT refused the profile of {bucket} rows: {said.reason()}")
        return config

    def _use_timing_cache(self, config: IBuilderConfig) -> str:
        """Let it begin with what earlier builds of this TensorRT measured; give the name of that file."""
        name = f"timing-{self.trt.__version__}.cache"
        cache = config.create_timing_cache(self.plans.read_extra(name))
        if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
            cache = config.create_timing_cache(b"")  # of another GPU, or damaged
            if cache is not None:
                config.set_timing_cache(cache, ignore_mismatch=False)
        return name


def _sized(spec: TensorSpec, rows: int) -> tuple[int, ...]:
    return tuple(rows if axis is None else axis for axis in spec.shape)
