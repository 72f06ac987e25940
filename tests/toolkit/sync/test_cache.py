"""The scan cache is a hint: damaged, foreign or locked, it costs a reading and nothing else."""

from __future__ import annotations

import sqlite3

import pytest

from toolkit.sync.cache import Facts, ScanCache, has_settled

NOW = 1_700_000_000_500_000_000


def learned(file):
    cache = ScanCache(str(file))
    cache.remember(
        b"k", b"state", rows=[(b"folder", b"rows"), (b"\xff", b"more")], parts=[(b"digest", b"part")]
    )
    cache.close()


def test_what_was_learned_is_known_later(tmp_path):
    learned(tmp_path / "c")
    cache = ScanCache(str(tmp_path / "c"))
    assert (cache.state(b"k"), cache.state(b"other")) == (b"state", None)
    assert (cache.rows(b"k", b"folder"), cache.rows(b"other", b"folder")) == (b"rows", None)
    assert cache.folders(b"k") == [b"folder", b"\xff"]
    assert (cache.part(b"k", b"digest"), cache.part(b"k", b"x")) == (b"part", None)
    cache.remember(b"k", b"new", rows=[(b"a", b"1")], gone=[b"folder"], parts=[], old_parts=[b"digest"])
    assert cache.state(b"k") == b"state", "nothing is written before the end"
    cache.write()
    assert (cache.state(b"k"), cache.folders(b"k"), cache.part(b"k", b"digest")) == (
        b"new",
        [b"a", b"\xff"],
        None,
    )
    cache.forget(b"k")
    cache.close()
    assert ScanCache(str(tmp_path / "c")).folders(b"k") == []


@pytest.mark.parametrize(
    "content", [b"", b"no database at all, but long enough to look at", b"SQLite format 3\0" + bytes(200)]
)
def test_a_damaged_file_is_made_anew(tmp_path, content):
    file = tmp_path / "c"
    file.write_bytes(content)
    learned(file)
    assert ScanCache(str(file)).state(b"k") == b"state"


@pytest.mark.parametrize("version", [1, 2, 9])
def test_a_cache_of_another_version_is_made_anew(tmp_path, version):
    database = sqlite3.connect(tmp_path / "c")
    database.execute(f"PRAGMA user_version = {version}")
    database.close()
    learned(tmp_path / "c")
    assert ScanCache(str(tmp_path / "c")).state(b"k") == b"state"


def test_a_link_in_its_place_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    database = sqlite3.connect(victim)
    database.execute("CREATE TABLE precious (x)")
    database.close()
    before = victim.read_bytes()
    (tmp_path / "c").symlink_to(victim)
    learned(tmp_path / "c")
    assert victim.read_bytes() == before
    assert not (tmp_path / "c").is_symlink()


def test_no_file_or_no_way_to_write_one_remembers_nothing(tmp_path):
    for cache in (ScanCache(None), ScanCache(str(tmp_path / "no/such/folder/c"))):
        cache.remember(b"k", b"state")
        cache.write()
        assert (cache.state(b"k"), cache.folders(b"k"), cache.remembers) == (None, [], False)
        cache.close()


def test_a_cache_that_another_run_holds_is_done_without(tmp_path):
    learned(tmp_path / "c")
    other = sqlite3.connect(tmp_path / "c", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    cache = ScanCache(str(tmp_path / "c"), patience_seconds=0.01)
    assert cache.state(b"k") is None
    cache.close()
    other.close()


@pytest.mark.parametrize(
    ("facts", "settled"),
    [
        (Facts(1, NOW - 60_000_000, NOW - 60_000_000, 1), True),
        (Facts(1, NOW - 40_000_000, NOW - 60_000_000, 1), False),
        (Facts(1, NOW - 60_000_000, NOW - 40_000_000, 1), False),
        (Facts(1, NOW + 60_000_000, NOW - 60_000_000, 1), False),
        (Facts(1, 1_699_999_999_000_000_000, 1_699_999_999_000_000_000, 1), False),
        (Facts(1, 1_699_999_998_000_000_000, 1_699_999_998_000_000_000, 1), True),
    ],
)
def test_a_file_has_settled_when_its_clock_must_have_moved_on(facts, settled):
    assert has_settled(facts, NOW) is settled
