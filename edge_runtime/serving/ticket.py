"""One request that waits for an engine: `models` makes it, `admission` keeps it, `batcher` answers it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeAlias

from edge_runtime.engine.base import Array, Tensors
from edge_runtime.serving.ask import Priority

Mould: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(eq=False, slots=True)
class Ticket:
    """One request that has to wait for the engine."""

    inputs: Mapping[str, Array]
    rows: int
    """Length of axis 0."""
    priority: Priority
    future: asyncio.Future[Tensors]
    """Gets the outputs or the reason why there are none, on the event loop only."""
    deadline: float = math.inf
    """Moment on `perf_counter`'s clock, as `arrived`."""
    mould: Mould = ()
    """What must be equal for two requests to share a call, see `mould_of`; empty where the model leaves no choice."""
    arrived: float = field(default_factory=perf_counter)


def mould_of(inputs: Mapping[str, Array]) -> Mould:
    """Give names and lengths of all axes but the first."""
    return tuple(sorted((name, array.shape[1:]) for name, array in inputs.items()))
