"""SIGTERM becomes a question that the trainer asks between two steps.

A pod that must leave gets SIGTERM and some seconds. Flow: signal -> `Interrupt.asked` -> all workers agree ->
checkpoint -> exit code 143, after which the job's retry policy starts the gang again.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether this worker has been asked to leave."""

    def __init__(self) -> None:
        """Begin unasked."""
        self.asked = False

    def ask(self, signum: int = signal.SIGTERM, frame: FrameType | None = None) -> None:  # noqa: ARG002
        """Remember the wish; has the shape of a signal handler and does nothing else, as one should."""
        self.asked = True


@contextmanager
def on_sigterm() -> Iterator[Interrupt]:
    """Hand out an Interrupt that SIGTERM sets; the old handling comes back afterwards. Main thread only."""
    interrupt = Interrupt()
    before = signal.signal(signal.SIGTERM, interrupt.ask)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGTERM, before)
