"""Calls of an engine with one request or several: who `batcher` gives the hands makes them, on whatever thread that is.

Requests of one call are laid behind each other along axis 0, and what comes out is cut apart again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.engine.base import Engine, Tensors
from edge_runtime.serving.ticket import Ticket
from toolkit.errors import EngineError, TiersError

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Call:
    """What one call of the engine gave, for the event loop."""

    tickets: Sequence[Ticket]
    results: Sequence[Tensors | TiersError]
    began: float
    seconds: float
    rows: int
    reason: str


class UnevenError(EngineError):
    """What came out does not have a row for each row that went in: this model's requests cannot share a call."""


def call_together(engine: Engine, batch: Sequence[Ticket], reason: str) -> Call:
    """Run several requests at once.

    Raises:
        UnevenError: an output cannot be cut apart.
        EngineError: the model failed, for whichever of them.
    """
    began = time.perf_counter()
    rows = sum(ticket.rows for ticket in batch)
    names = batch[0].inputs
    outputs = engine.infer({name: np.concatenate([t.inputs[name] for t in batch]) for name in names})
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != rows:
            raise UnevenError(
                f"output {name!r} does not have a row for each row of the input; no more batches"
            )
    results: list[Tensors] = []
    start = 0
    for ticket in batch:
        results.append({name: array[start : start + ticket.rows] for name, array in outputs.items()})
        start += ticket.rows
    return Call(batch, results, began, time.perf_counter() - began, rows, reason)


def call_alone(engine: Engine, ticket: Ticket, reason: str, name: str) -> Call:
    """Run one request; that it failed is a result too. `name` is the model's, for the log."""
    began = time.perf_counter()
    result: Tensors | TiersError
    try:
        result = engine.infer(ticket.inputs)
    except TiersError as exc:
        result = exc
    except Exception as exc:
        log.exception("the engine of %s failed", name)
        result = EngineError(f"the engine failed: {type(exc).__name__}")
    return Call((ticket,), (result,), began, time.perf_counter() - began, ticket.rows, reason)
