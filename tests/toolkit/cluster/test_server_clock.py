"""What the server's clock shows counts, not the one here."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from toolkit.cluster.server_clock import ServerClock


def test_its_time_is_what_the_last_answer_said():
    clock, there = ServerClock(), datetime.now(timezone.utc) + timedelta(hours=3)
    clock.saw(format_datetime(there, usegmt=True))
    assert abs(clock.now() - there) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Sun, 99 Nov 2026 25:00:00 GMT", "Sun, 22 Nov 2026 10:00:00 -0000"]
)
def test_what_is_no_date_says_nothing(date):
    clock = ServerClock()
    clock.saw(date)
    assert clock.offset_seconds is None
    assert abs(clock.now() - datetime.now(timezone.utc)) < timedelta(minutes=1)
