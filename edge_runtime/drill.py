"""Fault injection for drills and tests: stop the daemon at a chosen moment, so that it can be killed there.

`tiers-edge run --hold STATE` stops right after the arrow into STATE was saved and reported, before its work begins;
`--hold STATE:done` stops when the work of STATE has ended, before the arrow out of it is taken. Those are the two sides
of every crash that matters. The control thread waits; serving goes on. Without `--hold` nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from toolkit.errors import UsageError
from toolkit.wire.states import InstallState

_DONE = ":done"


class Drill:
    """The moments at which to stop. Each stops once."""

    def __init__(
        self, points: Iterable[str], announce: Callable[[str, str], None], wait: Callable[[], None]
    ) -> None:
        """Choose the moments.

        Args:
            points: `STATE` or `STATE:done`.
            announce: told the model and the point when the daemon stops there.
            wait: comes back when the daemon shall go on.

        Raises:
            UsageError: a point names no state.
        """
        self._points = set(points)
        self._announce = announce
        self._wait = wait
        for point in self._points:
            if point.removesuffix(_DONE) not in InstallState.__members__:
                states = ", ".join(InstallState.__members__)
                raise UsageError(
                    f"there is no state {point!r} to hold", hint=f"one of {states}, or STATE:done"
                )

    def entered(self, model: str, state: InstallState) -> None:
        """Stop here if asked to: the state was saved, its work has not begun."""
        self._stop(model, state.value)

    def ending(self, model: str, state: InstallState) -> None:
        """Stop here if asked to: the work has ended, the next state was not saved."""
        self._stop(model, state.value + _DONE)

    def _stop(self, model: str, point: str) -> None:
        if point in self._points:
            self._points.discard(point)
            self._announce(model, point)
            self._wait()
