"""Cron expressions: what they mean is Volcano's affair (tests/toolkit/cluster/test_schedules); which are none, ours."""

from __future__ import annotations

import pytest

from toolkit.topology.schedule import Cron


@pytest.mark.parametrize(
    "text",
    ["0 2 * * *", "*/15 8-18 * * mon-fri", "0 0 1,15 jan ?", "0 0 29 2 *", "5/10 * * * 0-6/2", "@hourly"],
)
def test_what_can_be_read_is_written_back(text):
    assert str(Cron.parse(text)) == text
    assert Cron.parse(f"  {text.replace(' ', '   ')} ") == Cron.parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 2 * *", "not a cron expression"),
        ("0 0 2 * * *", "not a cron expression"),
        ("@nightly", "not a cron expression"),
        ("60 2 * * *", "'60' is no minute"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 2 0 * *", "'0' is no day of the month"),
        ("0 2 * 13 *", "'13' is no month"),
        ("0 2 * * 7", "'7' is no day of the week"),
        ("0 2 * * mo", "'mo' is no day of the week"),
        ("0 18-8 * * *", "'18-8' is no hour"),
        ("*/0 * * * *", "'*/0' is no minute"),
        ("-1 * * * *", "'-1' is no minute"),
        ("0 2 31 feb,apr *", "never happens"),
    ],
)
def test_what_is_none_says_which_part(text, said):
    with pytest.raises(ValueError, match=r"no|never") as refused:
        Cron.parse(text)
    assert said in str(refused.value)


def test_a_day_that_is_missing_in_one_month_is_no_fault():
    assert str(Cron.parse("0 2 31 feb,mar *")) == "0 2 31 feb,mar *"
    assert str(Cron.parse("0 2 30 feb mon")) == "0 2 30 feb mon", "on Mondays it runs"
