from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.topology.shares import AboveDuration, AbovePercent, Share
from toolkit.topology.units import WHOLE, Duration, Percent

shares = st.one_of(
    st.integers(min_value=1, max_value=10**6).map(lambda count: Share(count=count)),
    st.integers(min_value=1, max_value=WHOLE).map(lambda parts: Share(percent=Percent(parts))),
)


@given(shares)
def test_a_share_is_read_back_as_it_was_written(share):
    assert Share.parse(str(share)) == share


@given(shares, st.integers(min_value=1, max_value=10**6))
def test_a_share_is_at_least_one_machine_and_never_more_than_there_are(share, total):
    assert 1 <= share.of(total) <= total


@given(st.integers(min_value=0, max_value=10**6))
def test_everybody_is_everybody(total):
    assert Share.parse("100%").of(total) == total


def test_a_percentage_is_rounded_up():
    assert Share.parse("25%").of(120) == 30
    assert Share.parse("25%").of(2) == 1
    assert Share.parse("2").of(120) == 2
    assert Share.parse("2").of(1) == 1


@given(st.integers(min_value=0, max_value=WHOLE), st.integers(min_value=0, max_value=10**9))
def test_thresholds_are_read_back_as_they_were_written(parts, milliseconds):
    above_percent, above_duration = AbovePercent(Percent(parts)), AboveDuration(Duration(milliseconds))
    assert AbovePercent.parse(str(above_percent)) == above_percent
    assert AboveDuration.parse(str(above_duration)) == above_duration


@pytest.mark.parametrize(
    ("unit", "text", "reason"),
    [
        (Share, "0", "no machine at all"),
        (Share, "0%", "no machine at all"),
        (Share, "some", "neither a count of machines"),
        (AbovePercent, "1%", "not a threshold"),
        (AbovePercent, "<1%", "not a threshold"),
        (AboveDuration, ">500", "has no unit"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(unit, text, reason):
    with pytest.raises(ValueError, match=reason):
        unit.parse(text)
