"""When a clock is trusted: kept in step, or said to be, and never before this software was made."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge_runtime.clock import SYNCHRONIZED, WRITTEN, Clock, is_kept, kernel_status

YEAR = 365 * 86_400.0
LATER = WRITTEN + YEAR


def test_at_1970_no_clock_is_trusted_whatever_is_said_of_it() -> None:
    reading = Clock(now=lambda: 60.0, is_kept=lambda: True, trust=True).read()
    assert "1970-01-01" in reading.doubt
    assert "timesyncd" in reading.doubt
    assert Clock(now=lambda: WRITTEN - 1, is_kept=lambda: True).read().doubt
    assert not Clock(now=lambda: WRITTEN, is_kept=lambda: True).read().doubt


def test_a_year_ahead_looks_right_so_only_who_keeps_it_counts() -> None:
    ahead = Clock(now=lambda: LATER, is_kept=lambda: False).read()
    assert datetime.fromtimestamp(LATER, timezone.utc).strftime("%Y-%m-%d") in ahead.doubt
    assert "trust_clock" in ahead.doubt
    assert Clock(now=lambda: LATER, is_kept=lambda: True).read().doubt == ""
    assert Clock(now=lambda: LATER, is_kept=lambda: False, trust=True).read().doubt == ""


def test_a_time_that_no_calendar_has_is_no_error() -> None:
    assert "seconds since 1970" in Clock(now=lambda: -1e18, is_kept=lambda: True).read().doubt
    assert "seconds since 1970" in Clock(now=lambda: 1e18, is_kept=lambda: False).read().doubt


@pytest.mark.parametrize(
    ("state", "bits", "kept"),
    [(0, 0x2001, True), (5, 0x40, False), (5, 0, False), (0, 0x40, False), (1, 0x11, True)],
)
def test_the_kernel_is_believed(tmp_path: Path, state: int, bits: int, kept: bool) -> None:
    assert is_kept(tmp_path, lambda: (state, bits)) is kept


def test_systemd_is_believed_where_the_kernel_may_not_be_asked(tmp_path: Path) -> None:
    assert not is_kept(tmp_path, lambda: None)
    (tmp_path / SYNCHRONIZED).parent.mkdir(parents=True)
    (tmp_path / SYNCHRONIZED).touch()
    assert is_kept(tmp_path, lambda: None)
    assert is_kept(tmp_path, lambda: (5, 0x40))


def test_this_kernel_answers_and_its_bits_fit_its_state() -> None:
    found = kernel_status()
    if found is not None:  # None where a sandbox does not let it be asked
        state, bits = found
        assert 0 <= state <= 5
        assert state == 5 or not bits & 0x40
