"""A question to a model and its answer, as every door gives them in and everything behind the doors passes them on.

    doors      routes (HTTP), and whatever else takes questions: each makes an Ask and calls `desk.answer`
    desk       may choose another model, another machine, or nobody (`desk`, `ladder`)
    table      the version that answers (`models`)
    dress      what lies around a version: its cache, its stages (each an Answerer around the next)
    version    waiting room, batches, engine (`models.ServedModel`)

Whoever passes a changed Ask on makes a new one (`dataclasses.replace`), and nobody changes arrays in place: a cache, a
shadow or a second version may hold them too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from time import perf_counter
from typing import Protocol

from edge_runtime.engine.base import Array, Tensors


class Priority(IntEnum):
    """Who goes first. Numbers are those of the protocol's parameter `priority`, where 1 is the most urgent."""

    EMERGENCY = 1
    NORMAL = 2
    BATCH = 3


@dataclass(slots=True)
class Ask:
    """One question to a model."""

    model: str
    inputs: Mapping[str, Array]
    version: str = ""
    """The version that must answer; empty takes the one that serves."""
    wanted: tuple[str, ...] = ()
    """Outputs that are wanted; empty means all."""
    priority: Priority = Priority.NORMAL
    deadline: float = math.inf
    """Moment on `perf_counter`'s clock after which nobody needs the answer."""
    parameters: Mapping[str, object] = field(default_factory=dict)
    """The protocol's parameters of this request, as they came."""
    client: str = ""
    """Whose question it is, as far as the door knows: what limits a client go by."""
    forwarded: bool = False
    """Whether another machine has passed it on; then it goes no further."""
    trace: str = ""
    """W3C traceparent; empty when nobody traces."""
    arrived: float = field(default_factory=perf_counter)
    """When it was complete, on the same clock."""
    alone: bool = False
    """Whether the door knows that no other question comes with it: then nobody gains by its waiting for company."""


@dataclass(slots=True)
class Answer:
    """What a model said."""

    model: str
    """The model that answered, which the ladder may have chosen."""
    version: str
    outputs: Tensors
    cached: bool = False
    """Given again without running the model."""
    served_by: str = ""
    """What stood in for the model that was asked: `fallback`, `offload`; empty when it answered itself."""


class Answerer(Protocol):
    """Something that answers questions, or passes them to another that does."""

    async def answer(self, ask: Ask) -> Answer:
        """Answer.

        Raises:
            RequestError: this question gets no answer; its class says which status that is.
            EngineError: the model failed.
        """
        ...
