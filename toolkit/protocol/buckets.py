"""A token bucket: whether bytes may go out now, and how long to wait. Pure.

`serve` has one for each device that it is sending to, and one for all of them; `transfer` has one for what it asks for.
The balance may go below nothing: what is sent is counted afterwards, when its compressed size is known, and the debt is
waited for before the next batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from toolkit.protocol.record import replace


@dataclass(frozen=True)
class Rate:
    """A limit; `bytes_per_second` 0 means none."""

    bytes_per_second: float = 0.0
    burst_bytes: float = 1024 * 1024

    @property
    def sip(self) -> float:
        """Bytes below which it is not worth asking; a quarter of the burst, and nothing where there is no limit."""
        return self.burst_bytes / 4 if self.bytes_per_second else 0.0


@dataclass(frozen=True)
class Bucket:
    """What may be sent at `at` (seconds of the driver's clock)."""

    rate: Rate
    balance: float
    at: float

    @classmethod
    def full(cls, rate: Rate, now: float) -> Bucket:
        """Begin with a whole burst."""
        return cls(rate, rate.burst_bytes, now)

    def charged(self, size: int, now: float) -> Bucket:
        """Count bytes that were sent."""
        return replace(self, balance=self._at(now) - size, at=max(now, self.at))

    def wait(self, now: float) -> float:
        """Give the seconds until something may be sent; 0 means now."""
        if not self.rate.bytes_per_second:
            return 0.0
        debt = -self._at(now)
        # Less than a byte is rounding; waiting for it could be too short for the clock to notice, for ever.
        return max(0.0, self.at - now) + debt / self.rate.bytes_per_second if debt >= 1 else 0.0

    def left(self, now: float) -> float:
        """Give the bytes that may go at once; without a limit there is no end to them."""
        return max(0.0, self._at(now)) if self.rate.bytes_per_second else inf

    def is_full(self, now: float) -> bool:
        """Tell whether nothing would be lost by forgetting this bucket."""
        return not self.rate.bytes_per_second or self._at(now) >= self.rate.burst_bytes

    def _at(self, now: float) -> float:
        # A clock that goes back gives nothing and takes nothing.
        gained = max(0.0, now - self.at) * self.rate.bytes_per_second
        return min(self.rate.burst_bytes, self.balance + gained)
