from __future__ import annotations

import pytest

from tests.contracts.link import LinkContract
from toolkit.link.link import LastWill
from toolkit.link.memory_link import MemoryBroker, MemoryLink


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
