from __future__ import annotations

import pytest

from toolkit.link.filters import matches, plain_filter, share_group


@pytest.mark.parametrize(
    ("topic_filter", "topic", "fits"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+/c", "a/b/c", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
    ],
)
def test_filters_match_as_mqtt_says(topic_filter: str, topic: str, fits: bool) -> None:
    assert matches(topic_filter, topic) is fits


def test_a_shared_subscription_is_taken_apart() -> None:
    assert (share_group("$share/depot/d/+/req"), plain_filter("$share/depot/d/+/req")) == ("depot", "d/+/req")
    assert (share_group("d/+/req"), plain_filter("d/+/req")) == ("", "d/+/req")
