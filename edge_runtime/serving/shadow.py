"""Give a new version what the old one has just answered, out of sight of the clients, and write down how they differ.

`models` shows it each answer; the new version's turn comes when that is on its way to the client, as a batch request to
an engine and a thread of its own, and one at a time: it can make nobody wait and nobody fail. What it was too slow to
take is counted and left out. `judge` then says whether it may serve; a refusal is a failed activation with its code.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from edge_runtime.engine.base import Array, Tensors
from edge_runtime.serving.ask import Answer, Answerer, Ask, Priority
from edge_runtime.serving.stats import ModelStats
from toolkit.errors import TiersError
from toolkit.wire.device_config import ShadowConfig

log = logging.getLogger(__name__)
_CLASSES: Final = 2
"""Fewest axes of an output that has a best class in each row."""
HUNG_SECONDS: Final = 30.0
"""How long the last request of a comparison may take."""


@dataclass(frozen=True)
class Comparison:
    """How a new version did beside the old one."""

    requests: int = 0
    """That both answered."""
    skipped: int = 0
    """That came while it was busy with another one."""
    failures: int = 0
    """That it failed, and the old one did not."""
    problem: str = ""
    """What the last failure was."""
    max_difference: float = 0.0
    """Largest absolute difference of two output values; infinite where shapes or types differ."""
    mean_difference: float = 0.0
    """Mean over all output values."""
    agreement: float | None = None
    """Share of rows of the first output that has classes in which both find the same best one; None without one."""
    old_seconds: float = 0.0
    """Mean time of one call of its engine meanwhile."""
    new_seconds: float = 0.0

    @property
    def latency_ratio(self) -> float | None:
        """The new one's time over the old one's; None where one of them had nothing to do."""
        return self.new_seconds / self.old_seconds if self.old_seconds and self.new_seconds else None

    def __str__(self) -> str:
        """Say it for the log and a report."""
        ratio = self.latency_ratio
        return (
            f"{self.requests} requests compared, {self.failures} failed, {self.skipped} left out; outputs differ by at"
            f" most {self.max_difference:.3g}, {self.mean_difference:.3g} in the mean"
            + (f"; same best class in {self.agreement:.2%}" if self.agreement is not None else "")
            + (f"; {ratio:.2f} times as long" if ratio is not None else "")
        )


def judge(found: Comparison, limits: ShadowConfig) -> tuple[str, str]:
    """Say why a version may not serve, as a code and for people; both empty when it may."""
    if found.failures:
        return "shadow-failed", f"it failed what the old version answered: {found.problem}; {found}"
    if limits.max_difference is not None and found.max_difference > limits.max_difference:
        return "shadow-differs", f"more than {limits.max_difference:g} apart from the old version: {found}"
    ratio = found.latency_ratio
    if limits.max_latency_ratio is not None and ratio is not None and ratio > limits.max_latency_ratio:
        return (
            "shadow-slow",
            f"more than {limits.max_latency_ratio:g} times as slow as the old version: {found}",
        )
    return "", ""


class Shadow:
    """One comparison. For the event loop."""

    def __init__(self, new: Answerer, old: ModelStats, counts: ModelStats, requests: int) -> None:
        """Compare so many requests.

        Args:
            new: answers for the new version.
            old: counts of the version that serves.
            counts: of the new version.
            requests: after which it is over.
        """
        self._new = new
        self._old_stats, self._new_stats = old, counts
        self._old_began = (old.computed.sum, old.computed.count)
        self._requests = requests
        self._busy: asyncio.Task[None] | None = None
        self._found = Comparison()
        self._sum, self._values = 0.0, 0
        self._agreed, self._rows = 0, 0
        self._over = asyncio.Event()

    @property
    def found(self) -> Comparison:
        """What is known so far."""
        old_sum, old_count = self._old_began
        calls = self._old_stats.computed.count - old_count
        new_calls = self._new_stats.computed.count
        return replace(
            self._found,
            mean_difference=self._sum / self._values if self._values else 0.0,
            agreement=self._agreed / self._rows if self._rows else None,
            old_seconds=(self._old_stats.computed.sum - old_sum) / calls if calls else 0.0,
            new_seconds=self._new_stats.computed.sum / new_calls if new_calls else 0.0,
        )

    def see(self, ask: Ask, answer: Answer) -> None:
        """Take note of a question that the old version has answered."""
        if self._over.is_set():
            return
        if self._busy is not None:
            self._found = replace(self._found, skipped=self._found.skipped + 1)
            return
        # Copied, because the door may use its memory for the next request.
        inputs = {name: array.copy() for name, array in ask.inputs.items()}
        again = replace(ask, inputs=inputs, version="", priority=Priority.BATCH, deadline=float("inf"))
        self._busy = asyncio.get_running_loop().create_task(self._compare(again, answer.outputs))

    async def over(self, seconds: float) -> Comparison:
        """Wait until enough is compared, for so many seconds at most, and give what was found."""
        await asyncio.wait((asyncio.ensure_future(self._over.wait()),), timeout=seconds)
        self._over.set()
        if self._busy is not None:
            done, _ = await asyncio.wait((self._busy,), timeout=HUNG_SECONDS)
            if not done:
                self._fail(f"no answer within {HUNG_SECONDS:g} s")
        return self.found

    def end(self) -> None:
        """Compare no more; whoever waits hears what was found."""
        self._over.set()

    def _fail(self, problem: str) -> None:
        self._found = replace(self._found, failures=self._found.failures + 1, problem=problem)

    async def _compare(self, ask: Ask, expected: Tensors) -> None:
        try:
            got = (await self._new.answer(ask)).outputs
            apart = await asyncio.to_thread(_differ, expected, got)
        except TiersError as error:
            self._fail(error.message)
        except Exception as error:
            log.exception("the comparison of two answers failed")
            self._fail(f"{type(error).__name__} in the comparison")
        else:
            worst = max(self._found.max_difference, apart.worst)
            self._found = replace(self._found, requests=self._found.requests + 1, max_difference=worst)
            self._sum, self._values = self._sum + apart.total, self._values + apart.values
            self._agreed, self._rows = self._agreed + apart.agreed, self._rows + apart.rows
        finally:
            self._busy = None
            if self._found.requests + self._found.failures >= self._requests:
                self._over.set()


@dataclass(frozen=True)
class _Apart:
    worst: float = 0.0
    total: float = 0.0
    values: int = 0
    agreed: int = 0
    rows: int = 0


def _differ(expected: Mapping[str, Array], got: Mapping[str, Array]) -> _Apart:
    found = _Apart()
    for name, wanted in expected.items():
        given = got.get(name)
        if given is None or given.shape != wanted.shape or given.dtype.kind not in "fiub":
            return _Apart(worst=float("inf"))
        with np.errstate(invalid="ignore", over="ignore"):  # infinity less infinity is looked at below
            apart = np.abs(given.astype(np.float64) - wanted.astype(np.float64))
        apart = np.where(np.isnan(apart), np.inf, apart)
        # Both may say the same that is no number.
        apart[(given == wanted) | ((given != given) & (wanted != wanted))] = 0.0  # noqa: PLR0124 -- NaN
        found = replace(
            found,
            worst=max(found.worst, float(apart.max(initial=0.0))),
            total=found.total + float(apart.sum()),
            values=found.values + apart.size,
        )
        if not found.rows and wanted.ndim >= _CLASSES and wanted.size:
            best = [array.reshape(len(array), -1).argmax(axis=1) for array in (wanted, given)]
            found = replace(found, agreed=int((best[0] == best[1]).sum()), rows=len(wanted))
    return found
