"""A limit around a Remote: the contract, and that several keep to one limit together."""

from __future__ import annotations

import pytest

from tests.contracts.remote import MemoryRemote, RemoteContract
from toolkit.sync.key_file import make_key_file
from toolkit.sync.pace import Pace
from toolkit.sync.remotes.choose import open_storage
from toolkit.sync.remotes.limited import LimitedRemote
from toolkit.sync.task import Storage


class TestLimitedRemote(RemoteContract):
    @pytest.fixture
    def remote(self):
        return LimitedRemote(MemoryRemote(), Pace(0))


def test_storages_that_share_a_pace_keep_to_one_limit_both_ways(tmp_path):
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    pace = Pace(1000, clock=lambda: now[0], sleep=sleep)
    first, second = (
        open_storage(Storage(tier="cold", url=(tmp_path / name).as_uri()), create=True, pace=pace)
        for name in ("a", "b")
    )
    first.write("packs/a", bytes(3000))
    assert second.write_new("packs/b", bytes(3000))
    assert first.read("packs/a", length=2000) == bytes(2000)
    assert second.exists("packs/b")
    assert [found.size for found in second.list()] == [3000]
    assert now[0] == pytest.approx(8.0, abs=0.3)


def test_what_counts_is_what_is_on_the_line_when_a_storage_is_encrypted(tmp_path):
    taken = []

    class Counting(Pace):
        def take(self, count):
            taken.append(count)

    make_key_file(tmp_path / "key")
    place = Storage(
        tier="cold", url=(tmp_path / "store").as_uri(), layout="packs", key_file=str(tmp_path / "key")
    )
    remote = open_storage(place, create=True, pace=Counting(1))
    remote.write("refs/a", b"x" * 100)
    written = taken[-1]
    assert written > 100
    assert written in {each.stat().st_size for each in (tmp_path / "store").rglob("*") if each.is_file()}
    assert remote.read("refs/a") == b"x" * 100
    assert taken[-1] == written
