from __future__ import annotations

import pytest

from tests.contracts.link import LinkContract
from toolkit.link.link import LastWill
from toolkit.link.memory_link import MemoryBroker, MemoryLink, matches


class MemoryWorld:
    shares = True

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.cut, self.restore, self.vanish = self.broker.cut, self.broker.restore, self.broker.kill

    def link(self, *, will: LastWill | None = None) -> MemoryLink:
        return MemoryLink(self.broker, will=will)


class TestMemoryLink(LinkContract):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()


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
