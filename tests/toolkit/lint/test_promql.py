"""What an expression reads: its series with their labels and ranges, its groupings, and what they are inside of."""

from __future__ import annotations

import pytest

from toolkit.lint.promql import duration, read


def shown(expression):
    return [(each.metric, each.calls, each.labels, each.window) for each in read(expression).selectors]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("up == 0", [("up", (), [], "")]),
        ('up{job="a, b{c", instance!~"x"}', [("up", (), ["job", "instance"], "")]),
        ("rate(x_total[5m])", [("x_total", ("rate",), [], "5m")]),
        ("sum by (le) (rate(x_bucket[5m:30s]))", [("x_bucket", ("sum", "rate"), [], "5m:30s")]),
        ("sum(a) by (tier) / on (tier) group_left b", [("a", ("sum",), [], ""), ("b", (), [], "")]),
        ("a > bool 3 and b unless c offset 5m", [(name, (), [], "") for name in "abc"]),
        ("# up\n'down' + `no` + 1e9 + x:y:sum", [("x:y:sum", (), [], "")]),
        ('{__name__="a", tier="b"}', [("", (), ["__name__", "tier"], "")]),
        ("max(a, ", [("a", ("max",), [], "")]),
        ("", []),
    ],
)
def test_series_labels_ranges_and_functions(expression, expected):
    assert shown(expression) == expected


def test_groupings_and_what_they_are_inside_of():
    found = read("histogram_quantile(0.9, sum by (le, tier) (rate(x_bucket[5m]))) / ignoring(le) (y)")
    assert [(each.word, each.labels, each.calls) for each in found.groupings] == [
        ("by", ("le", "tier"), ("histogram_quantile",)),
        ("ignoring", ("le",), ()),
    ]
    assert found.calls == {"histogram_quantile", "sum", "rate"}
    assert found.names("tier")
    assert not found.names("job")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1h30m", 5400), ("0", 0), ("5m", 300), ("1d", 86400), ("150ms", 0.15)]
)
def test_durations(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2 minutes", "30", "5", "1m1h", "$__rate_interval"])
def test_what_is_no_duration(text):
    assert duration(text) is None


def test_a_range_that_somebody_fills_in_later_has_no_length():
    (selector,) = read("rate(x[$__rate_interval])").selectors
    assert selector.seconds is None
