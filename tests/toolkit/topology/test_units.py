from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.topology.units import WHOLE, Bytes, Duration, Percent, Rate

counts = st.integers(min_value=0, max_value=2**63)


@given(counts)
def test_a_size_is_read_back_as_it_was_written(count):
    assert Bytes.parse(str(Bytes(count))) == Bytes(count)


@given(counts)
def test_a_rate_is_read_back_as_it_was_written(count):
    assert Rate.parse(str(Rate(count))) == Rate(count)


@given(counts)
def test_a_duration_is_read_back_as_it_was_written(milliseconds):
    assert Duration.parse(str(Duration(milliseconds))) == Duration(milliseconds)


@given(st.integers(min_value=0, max_value=WHOLE))
def test_a_percentage_is_read_back_as_it_was_written(parts):
    assert Percent.parse(str(Percent(parts))) == Percent(parts)


@pytest.mark.parametrize(
    ("text", "count", "printed"),
    [
        ("12GiB", 12 * 2**30, "12GiB"),
        ("0.5GiB", 2**29, "512MiB"),
        ("1000B", 1000, "1kB"),
        ("1 MB", 10**6, "1MB"),
        ("0GiB", 0, "0B"),
        ("1500kB", 1_500_000, "1500kB"),
        ("7B", 7, "7B"),
    ],
)
def test_sizes(text, count, printed):
    assert Bytes.parse(text).count == count
    assert str(Bytes.parse(text)) == printed


@pytest.mark.parametrize(
    ("text", "bytes_per_second"),
    [("20MiB/s", 20 * 2**20), ("100Mbit/s", 12_500_000), ("8bit/s", 1), ("1Gbit/s", 125_000_000)],
)
def test_rates(text, bytes_per_second):
    assert Rate.parse(text).bytes_per_second == bytes_per_second


@pytest.mark.parametrize(
    ("text", "milliseconds", "printed"),
    [
        ("500ms", 500, "500ms"),
        ("90s", 90_000, "90s"),
        ("60m", 3_600_000, "1h"),
        ("1.5h", 5_400_000, "90m"),
        ("2w", 14 * 86_400_000, "14d"),
        ("0s", 0, "0s"),
    ],
)
def test_durations(text, milliseconds, printed):
    assert Duration.parse(text).milliseconds == milliseconds
    assert Duration.parse(text).seconds == milliseconds / 1000
    assert str(Duration.parse(text)) == printed


def test_percentages():
    assert Percent.parse("25%").fraction == 0.25
    assert str(Percent.parse("0.50%")) == "0.5%"
    assert str(Percent.parse("100%")) == "100%"


@pytest.mark.parametrize(
    ("unit", "text", "reason"),
    [
        (Bytes, "12", "'12' has no unit; a size is written like 12GiB"),
        (Bytes, "12gib", "did you mean GiB?"),
        (Bytes, "12 parsec", "'parsec' is not a unit of a size; known are B, kB"),
        (Bytes, "0.3B", "'0.3B' is not a whole number of bytes"),
        (Bytes, "-1GiB", "'-1GiB' is not a size such as 12GiB"),
        (Bytes, "\u0661GiB", "is not a size"),  # a digit of another script
        (Rate, "20MiB", "did you mean MiB/s?"),
        (Rate, "1bit/s", "is not a whole number of bytes per second"),
        (Duration, "5 min", "'min' is not a unit of a duration"),
        (Duration, "0.1ms", "is not a whole number of milliseconds"),
        (Percent, "0.9", "'0.9' is not a percentage such as 25%"),
        (Percent, "101%", "'101%' is more than 100%"),
        (Percent, "0.00001%", "is not a whole number of ten-thousandths of a percent"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(unit, text, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        unit.parse(text)


def test_units_compare_by_value():
    assert Bytes.parse("1GiB") == Bytes.parse("1024MiB")
    assert Bytes.parse("1GB") < Bytes.parse("1GiB")
    assert Duration.parse("59s") < Duration.parse("1m")
