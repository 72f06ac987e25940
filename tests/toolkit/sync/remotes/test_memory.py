"""The stand-in that other tests use keeps the same promises."""

from __future__ import annotations

import pytest

from tests.contracts.remote import BreakingRemote, MemoryRemote, RemoteContract
from toolkit.errors import RemoteUnavailableError


class TestMemoryRemote(RemoteContract):
    @pytest.fixture
    def remote(self):
        return MemoryRemote()


class TestUnbrokenRemote(RemoteContract):
    @pytest.fixture
    def remote(self):
        return BreakingRemote(MemoryRemote(), breaks_at=10**9)


@pytest.mark.parametrize("after", [False, True])
def test_the_breaking_one_breaks_where_it_is_told(after):
    inner = MemoryRemote()
    remote = BreakingRemote(inner, breaks_at=2, after=after)
    remote.write("a", b"1")
    with pytest.raises(RemoteUnavailableError):
        remote.write("b", b"2")
    assert inner.exists("b") is after
    with pytest.raises(RemoteUnavailableError):
        remote.read("a")
