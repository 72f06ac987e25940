"""Classes that TensorRT calls back: its log, the progress of a build, memory for outputs of unknown size.

Each must be a subclass of a class of the module that was loaded, so they are made here at run time, once a module.
`build` and `tensorrt_engine` use them; what they do is plain Python and stands in the three small classes below.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from edge_runtime.engine.trt_types import (
    Enumerated,
    ILogger,
    IOutputAllocator,
    IProgressMonitor,
    TensorRt,
)

log = logging.getLogger(__name__)
KEPT_ERRORS: Final = 4
LEVELS: Final = {
    "INTERNAL_ERROR": logging.ERROR,
    "ERROR": logging.ERROR,
    "WARNING": logging.INFO,
    "INFO": logging.DEBUG,
    "VERBOSE": logging.NOTSET,
}
"""TensorRT's severities -> ours; it warns of much that nobody can change, and VERBOSE is not logged at all."""


@dataclass
class Said:
    """What TensorRT logged last of errors: a call that failed gives None or False, and the reason only here."""

    errors: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_ERRORS))

    def hear(self, severity: Enumerated, text: str) -> None:
        """Take one line."""
        level = LEVELS.get(severity.name, logging.DEBUG)
        if level >= logging.ERROR:
            self.errors.append(text.strip()[:300])
        if level:
            log.log(level, "TensorRT: %s", text.strip())

    def reason(self) -> str:
        """Give the errors since the last time, for a message."""
        said = "; ".join(self.errors)
        self.errors.clear()
        return said or "TensorRT gave no reason"


@dataclass
class Progress:
    """How far a build is: the steps of its outermost phases, and a moment at which it must give up."""

    tell: Callable[[str, int, int], None]
    """Gets (name of the phase, steps done, steps in all)."""
    deadline: float
    """On the clock of time.monotonic."""
    late: bool = False
    steps: dict[str, int] = field(default_factory=dict)

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """Begin a phase."""
        if parent is None:
            self.steps[phase] = steps
            self.tell(phase, 0, steps)

    def step(self, phase: str, step: int) -> bool:
        """Take a step; False ends the build."""
        if phase in self.steps:
            self.tell(phase, step + 1, self.steps[phase])
        self.late = time.monotonic() > self.deadline
        return not self.late

    def finish(self, phase: str) -> None:
        """End a phase."""
        self.steps.pop(phase, None)


@dataclass
class Growing:
    """Device memory of one output whose size only the run tells; it grows and is kept for the next run."""

    allocate: Callable[[int], int]
    release: Callable[[int], None]
    address: int = 0
    capacity: int = 0
    shape: tuple[int, ...] | None = None

    def reserve(self, size: int) -> int:
        """Give the address of at least so many bytes; 0 refuses, which makes the run fail."""
        if size > self.capacity or not self.address:
            old, self.address, self.capacity = self.address, 0, 0
            if old:
                self.release(old)
            try:
                self.address = self.allocate(max(size, 1))
            except Exception:  # it must not fly through TensorRT's own frames
                log.exception("no memory for an output of %d bytes", size)
                return 0
            self.capacity = max(size, 1)
        return self.address

    def close(self) -> None:
        """Give the memory back."""
        if self.address:
            self.release(self.address)
        self.address = self.capacity = 0


def make_logger(trt: TensorRt, said: Said) -> ILogger:
    """Make a logger that writes to `said`; keep it for as long as anything that it was given to."""

    def init(self: ILogger) -> None:
        trt.ILogger.__init__(self)

    def hear(_: ILogger, severity: Enumerated, msg: str) -> None:
        said.hear(severity, msg)

    return cast("ILogger", type("TiersLogger", (trt.ILogger,), {"__init__": init, "log": hear})())


def make_monitor(trt: TensorRt, progress: Progress) -> IProgressMonitor:
    """Make a progress monitor (TensorRT 10 and later)."""

    def init(self: IProgressMonitor) -> None:
        trt.IProgressMonitor.__init__(self)

    def start(_: IProgressMonitor, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        progress.start(phase_name, parent_phase, num_steps)

    def step(_: IProgressMonitor, phase_name: str, step: int) -> bool:
        return progress.step(phase_name, step)

    def finish(_: IProgressMonitor, phase_name: str) -> None:
        progress.finish(phase_name)

    members = {"__init__": init, "phase_start": start, "step_complete": step, "phase_finish": finish}
    return cast("IProgressMonitor", type("TiersMonitor", (trt.IProgressMonitor,), members)())


def make_allocator(trt: TensorRt, growing: Growing) -> IOutputAllocator:
    """Make an output allocator over this memory; TensorRT calls one of two methods, depending on its version."""

    def init(self: IOutputAllocator) -> None:
        trt.IOutputAllocator.__init__(self)

    def reallocate(_: IOutputAllocator, tensor_name: str, memory: int, size: int, alignment: int) -> int:
        del (
            tensor_name,
            memory,
            alignment,
        )  # memory of cuMemAlloc is aligned to 256 bytes, more than is ever asked for
        return growing.reserve(size)

    def reallocate_async(
        _: IOutputAllocator, tensor_name: str, memory: int, size: int, alignment: int, stream: int
    ) -> int:
        del tensor_name, memory, alignment, stream
        return growing.reserve(size)

    def notify(_: IOutputAllocator, tensor_name: str, shape: Sequence[int]) -> None:
        del tensor_name
        growing.shape = tuple(shape)

    members = {
        "__init__": init,
        "reallocate_output": reallocate,
        "reallocate_output_async": reallocate_async,
        "notify_shape": notify,
    }
    return cast("IOutputAllocator", type("TiersAllocator", (trt.IOutputAllocator,), members)())
