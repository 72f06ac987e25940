"""Whether another machine is worth asking: after some failures in a row it is left alone for a while. Pure.

`offload` asks `allows` before each question and tells how it ended. While the breaker is open nobody is let through;
after the pause one question is, and its end says whether it closes again or stays open for twice as long.
"""

from __future__ import annotations

from typing import Final

FAILURES: Final = 3
"""In a row, before it opens."""
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds."""


class Breaker:
    """Remembers how the last questions ended. All moments are seconds of one steady clock."""

    def __init__(self) -> None:
        """Start closed."""
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._open_until: float | None = None
        self._probing = False

    @property
    def closed(self) -> bool:
        """Whether everybody is let through."""
        return self._open_until is None

    def allows(self, now: float) -> bool:
        """Say whether to ask now; where it says yes, `answered`, `failed` or `unsaid` must follow."""
        if self._open_until is None:
            return True
        if now < self._open_until or self._probing:
            return False
        self._probing = True
        return True

    def answered(self) -> None:
        """The other machine answered."""
        self._failures, self._pause = 0, FIRST_PAUSE
        self._open_until, self._probing = None, False

    def unsaid(self) -> None:
        """The question ended before there was an answer, and that was not the other machine's fault."""
        self._probing = False

    def failed(self, now: float, pause: float = 0.0) -> None:
        """It did not answer, or said that it cannot for so many seconds, which then holds at once."""
        self._failures += 1
        if pause:
            self._open(now, min(pause, LONGEST_PAUSE))
        elif self._probing or self._failures >= FAILURES:
            self._open(now, self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._probing = False

    def _open(self, now: float, pause: float) -> None:
        self._open_until = max(now + pause, self._open_until or now)
