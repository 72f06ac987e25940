"""One version of one model: its engine, queue and counts. `models` looks it up and keeps it as long as it is needed."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence

import numpy as np

from edge_runtime.engine.base import Array, Engine, Tensors, TensorSpec, find_mismatch
from edge_runtime.serving.admission import Admission
from edge_runtime.serving.ask import Answer, Ask, Priority
from edge_runtime.serving.batcher import Batcher
from edge_runtime.serving.refusals import BadRequestError
from edge_runtime.serving.stats import ModelStats
from edge_runtime.serving.ticket import Ticket, mould_of
from toolkit.wire.device_config import ModelConfig

log = logging.getLogger(__name__)
SLOW_FIRST_SECONDS = 2.0
"""A first answer that took longer is told as a fault."""


class ServedModel:
    """One version of one model with its engine, queue and counts."""

    def __init__(self, config: ModelConfig, version: str, engine: Engine, artifact: str = "") -> None:
        """Take the engine over; `artifact` is the id of what it was loaded from, for whoever keeps answers."""
        self.name = config.name
        self.version = version
        self.artifact = artifact
        about = engine.about
        self.engine = f"{about.engine} {about.version}" + (f" (plan {about.plan})" if about.plan else "")
        """What runs it, for people."""
        self._engine_inputs = engine.inputs
        self.stages = ""
        """Names and numbers of the stages around it, for whoever keeps answers."""
        self.show(engine.inputs, engine.outputs)
        self.timeout_seconds = config.timeout_seconds or math.inf
        self.stats = ModelStats(config.name, version)
        self.stats.engine = engine.about
        self.admission = Admission(config.queue)
        self.batcher = Batcher(
            engine,
            self.admission,
            self.stats,
            max_batch=config.max_batch,
            delay_seconds=config.delay_seconds,
        )
        self._max_rows = config.max_batch
        self._batched = all(spec.shape and spec.shape[0] is None for spec in engine.inputs)
        self._moulded = any(None in spec.shape[1:] for spec in engine.inputs)
        self._plain = {spec.name: (spec.dtype, spec.shape[1:]) for spec in engine.inputs}
        """What inputs must be where rows are all that may differ; empty in other models."""
        if self._moulded or not self._batched:
            self._plain = {}

        self.users = 0
        """Questions that are on their way through this version, its cache and stages included."""
        self.last_asked = time.perf_counter()
        self.urgent = False
        """Whether an emergency has asked it: then the next one shall not wait for it to be loaded."""
        self._left: asyncio.Event | None = None

    def enter(self, ask: Ask) -> None:
        """Take note of a question that begins; each is followed by a `leave`."""
        self.hold()
        self.last_asked = ask.arrived
        self.urgent = self.urgent or ask.priority is Priority.EMERGENCY

    def hold(self) -> None:
        """Keep the engine open; each is followed by a `leave`."""
        self.users += 1

    def leave(self) -> None:
        """Take note of a question that is over."""
        self.users -= 1
        if not self.users and self._left is not None:
            self._left.set()

    def note_first(self, ask: Ask) -> None:
        """Keep how long the first question took that this version answered, loading included."""
        seconds = self.stats.first_seconds = time.perf_counter() - ask.arrived
        if seconds > SLOW_FIRST_SECONDS:
            log.warning(
                "the first answer of %s %s took %.1f s, loading included; serving.load: eager loads it at the start",
                self.name,
                self.version,
                seconds,
            )

    async def retire(self) -> None:
        """Wait for the last question, then close the engine. Nobody may enter afterwards."""
        if self.users:
            self._left = asyncio.Event()
            await self._left.wait()
        await self.batcher.stop()

    def blank(self) -> Tensors:
        """Give the smallest inputs that the engine could take, all zeros: free axes have one place."""
        return {
            spec.name: np.zeros([1 if axis is None else axis for axis in spec.shape], spec.dtype)
            for spec in self._engine_inputs
        }

    def show(self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], stages: str = "") -> None:
        """Tell clients that this is what they send and get: with stages around it, it is not the engine's own."""
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.output_names = tuple(spec.name for spec in outputs)
        self.stages = stages

    @property
    def max_rows(self) -> int:
        """Most rows of one request where axis 0 is the batch; 0 where there is no such axis."""
        return max(self._max_rows, 1) if self._batched and self.inputs == self._engine_inputs else 0

    async def answer(self, ask: Ask) -> Answer:
        """Run the model on the inputs of this question.

        Raises:
            BadRequestError: the inputs are not what the model takes.
            OverloadedError: too many requests wait, or one that is more urgent took its place.
            DeadlineError: the deadline came first.
            EngineError: the model failed.
        """
        inputs = ask.inputs
        rows = self._plain_rows(inputs)
        if not rows:  # seldom; finds out what is wrong, if anything is
            self._check(inputs)
            rows = next(iter(inputs.values())).shape[0] if self._batched and inputs else 1
        ticket = Ticket(
            inputs,
            rows,
            ask.priority,
            asyncio.get_running_loop().create_future(),
            mould=mould_of(inputs) if self._moulded else (),
        )
        ticket.deadline = ask.deadline if ask.deadline < math.inf else ticket.arrived + self.timeout_seconds
        self.batcher.submit(ticket, alone=ask.alone)
        try:
            return Answer(self.name, self.version, await ticket.future)
        except asyncio.CancelledError:
            self.batcher.withdraw(ticket)
            raise

    def _plain_rows(self, inputs: Mapping[str, Array]) -> int:
        """Give the rows of inputs that are what the model takes, in a tenth of what `_check` costs; 0 is not known."""
        rows = 0
        for name, array in inputs.items():
            shape = array.shape
            if (
                not shape
                or self._plain.get(name) != (array.dtype, shape[1:])
                or shape[0] != (rows or shape[0])
            ):
                return 0
            rows = shape[0]
        return rows if len(inputs) == len(self._plain) and rows <= (self._max_rows or rows) else 0

    def _check(self, inputs: Mapping[str, Array]) -> None:
        if mismatch := find_mismatch(self._engine_inputs, inputs):
            raise BadRequestError(f"model {self.name}: {mismatch}")
        if not self._batched:
            return
        lengths = {array.shape[0] for array in inputs.values()}
        if len(lengths) > 1:
            raise BadRequestError(f"model {self.name}: its inputs must have the same number of rows (axis 0)")
        if self._max_rows and max(lengths, default=0) > self._max_rows:
            raise BadRequestError(
                f"model {self.name}: {max(lengths)} rows in one request; at most {self._max_rows} are taken"
            )
