"""How much a device asks for at once, and when it asks again. Pure; used by `transfer` and `index_transfer`.

The window counts bytes: it doubles once a round trip while all is well and halves when an answer does not come. The
time-out follows the answers as TCP's does (RFC 6298: smoothed round trip + 4 × its variation, doubled at each time-out)
with a floor that is right for links where a lost answer is rare and a slow one is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from toolkit.protocol.exchange import GivenUp
from toolkit.protocol.record import replace
from toolkit.wire.frame import Frame, Refusal

KIB: Final = 1024
MIB: Final = 1024 * KIB
_GAIN: Final = 0.125
_VARIATION_GAIN: Final = 0.25


@dataclass(frozen=True)
class PaceSettings:
    """Limits; bytes and seconds."""

    start_window: int = 512 * KIB
    max_window: int = 8 * MIB
    min_window: int = 64 * KIB
    first_timeout: float = 3.0
    min_timeout: float = 2.0
    max_timeout: float = 60.0
    refusal_pause: float = 1.0
    """Pause after the first refusal that names none; it doubles up to `max_timeout`."""
    unknown_limit: int = 10
    """Refusals in a row after which an artifact that no depot knows is given up."""
    damaged_limit: int = 5


@dataclass(frozen=True)
class Pace:
    """What the answers so far have taught us."""

    settings: PaceSettings
    window: int
    smoothed: float = 0.0
    variation: float = 0.0
    backoff: int = 0
    """Time-outs since the last answer in time."""
    grow_from: int = 0
    """The window may double when a request of this epoch or a later one is answered in full."""
    refusals: int = 0
    paused_until: float = 0.0

    @classmethod
    def begin(cls, settings: PaceSettings) -> Pace:
        """Begin without knowing anything."""
        return cls(settings, settings.start_window)

    @property
    def timeout(self) -> float:
        """Seconds of silence after which an answer counts as lost."""
        known = self.smoothed > 0
        base = self.smoothed + 4 * self.variation if known else self.settings.first_timeout
        base = max(base, self.settings.min_timeout if known else 0.0)
        return min(base * 2.0**self.backoff, self.settings.max_timeout)

    def answered(self, seconds: float) -> Pace:
        """Learn from the first answer to a request, `seconds` after it."""
        if not self.smoothed:
            return replace(self, smoothed=max(seconds, 1e-6), variation=seconds / 2, backoff=0)
        variation = (1 - _VARIATION_GAIN) * self.variation + _VARIATION_GAIN * abs(self.smoothed - seconds)
        smoothed = (1 - _GAIN) * self.smoothed + _GAIN * seconds
        return replace(self, smoothed=smoothed, variation=variation, backoff=0)

    def completed(self, epoch: int, next_epoch: int) -> Pace:
        """Learn that a request was answered in full; the window doubles once a round trip."""
        if epoch < self.grow_from or self.window >= self.settings.max_window:
            return self
        return replace(self, window=min(self.window * 2, self.settings.max_window), grow_from=next_epoch)

    def lost(self, next_epoch: int) -> Pace:
        """Learn that an answer did not come in time."""
        window = max(self.window // 2, self.settings.min_window)
        return replace(self, window=window, backoff=min(self.backoff + 1, 16), grow_from=next_epoch)

    def progressed(self) -> Pace:
        """Learn that something new came: whatever was refused before, somebody serves us."""
        return replace(self, refusals=0) if self.refusals else self

    def refused(self, frame: Frame, now: float) -> tuple[Pace, GivenUp | None]:
        """Learn that a depot refuses; say so if that is the end."""
        if frame.refusal is Refusal.BAD_REQUEST:
            why = (
                f"the depot does not understand what this device asks for: {frame.text or 'no reason given'}"
            )
            return self, GivenUp("bad-request", why)
        if now < self.paused_until:
            return self, None  # several requests were on their way; one refusal counts
        named = frame.retry_after_ms / 1000
        own = self.settings.refusal_pause * 2.0 ** min(self.refusals, 16)
        pause = min(max(named, 0.05) if named else own, self.settings.max_timeout)
        busy = frame.refusal is Refusal.BUSY
        paced = replace(self, refusals=self.refusals + (0 if busy else 1), paused_until=now + pause)
        if frame.refusal is Refusal.UNKNOWN_ARTIFACT and paced.refusals >= self.settings.unknown_limit:
            return paced, GivenUp("unknown-artifact", "no depot has this artifact; is its registry served?")
        if frame.refusal is Refusal.DAMAGED and paced.refusals >= self.settings.damaged_limit:
            why = f"the depot's own copy is damaged: {frame.text or 'no reason given'}"
            return paced, GivenUp("depot-damaged", why)
        return paced, None
