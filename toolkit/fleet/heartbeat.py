"""A sign of life for whoever watches a process from outside: a file that is touched while the work goes on.

`tiers depot` and `tiers rollout run` give it to the loops of `depot` and `steer` (option --alive); a probe looks at its
age. The file is not there before the broker has answered, and grows old when the loop hangs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from toolkit.errors import UsageError

BEAT_SECONDS = 5.0
"""How often the file is touched at most."""


class Heartbeat:
    """Touches a file. For one thread."""

    def __init__(self, file: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare; the file of an earlier process is taken away.

        Args:
            file: what is touched; its folder must be there.
            clock: seconds of a clock that only grows.

        Raises:
            UsageError: the file cannot be touched.
        """
        self._file = file
        self._clock = clock
        self._due = clock()
        try:
            file.touch()
            file.unlink()
        except OSError as error:
            raise UsageError(
                f"{file} cannot be touched: {error.strerror}",
                hint="name a file in a folder that may be written",
            ) from error

    def __call__(self) -> None:
        """Touch the file when it is due. Raises OSError when that cannot be done any more."""
        now = self._clock()
        if now >= self._due:
            self._due = now + BEAT_SECONDS
            self._file.touch()
