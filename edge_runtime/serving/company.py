"""How long a model may hold up the event loop: longer while no other model is asked.

`models` has one for all its models; the `batcher` of each asks it before it runs an engine on the loop's own thread,
where nothing else goes on meanwhile: no other model's question, no health, no bytes. On a thread of its own a call
holds nobody up, but costs two wake-ups, which a short one does not take itself.
"""

from __future__ import annotations

from typing import Final

ALONE_SECONDS: Final = 0.005
"""While nobody asks another model: then what could wait is health, metrics and the same model's next question, and that
one waits for this call anyway."""
BESIDE_SECONDS: Final = 0.001
"""While others are asked too."""
QUIET_SECONDS: Final = 1.0
"""After the last question to another model."""


class Company:
    """Who is asked on one event loop."""

    def __init__(self) -> None:
        """Know nobody."""
        self._last: object = None
        self._changed = 0.0

    def note(self, model: object, now: float) -> None:
        """Take note that this model was asked at this moment of perf_counter's clock."""
        if model is not self._last:
            self._last, self._changed = model, now

    def bound(self, now: float) -> float:
        """Give the longest time in seconds that the model that was asked last may hold up the loop."""
        return ALONE_SECONDS if now - self._changed > QUIET_SECONDS else BESIDE_SECONDS
