"""The time at the API server, from the Date header of its answers, so that a laptop's wrong clock decides nothing.

`request` notes each answer; `lease` writes and compares times by it, `doctor` may tell how far apart the clocks are.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime


@dataclass
class ServerClock:
    """What one server's clock shows; before its first answer the clock here."""

    offset_seconds: float | None = None
    """Server's time less ours, None before the first answer. The header has whole seconds, so this is right to one."""

    def saw(self, date: str) -> None:
        """Take the Date header of an answer that has just come (RFC 9110 §6.6.1); what is no date says nothing."""
        try:
            told = parsedate_to_datetime(date)
        except (TypeError, ValueError):
            return
        if told.tzinfo is not None:
            self.offset_seconds = told.timestamp() - time.time()

    def now(self) -> datetime:
        """Give the time at the server, in UTC."""
        return datetime.now(timezone.utc) + timedelta(seconds=self.offset_seconds or 0.0)
