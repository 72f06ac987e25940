"""Times of monitoring, derived from its one interval."""

from __future__ import annotations

from typing import Final

from toolkit.topology.units import Duration

_LONGEST_TIMEOUT: Final = Duration.parse("10s")


def scrape_timeout(interval: Duration) -> str:
    """Give how long a target may take to answer: 10 s, never more than the interval: Prometheus refuses that."""
    return str(min(interval, _LONGEST_TIMEOUT))
