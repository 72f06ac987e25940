"""Files are there before they are read: from a mirror and from packs, within the budget, kept until they are read."""

from __future__ import annotations

import threading

import pytest

from tests.toolkit.sync.policies.site import Site
from toolkit.errors import IntegrityError, SyncError, UnsafePathError, UsageError
from toolkit.sync.folder import Folder
from toolkit.sync.pins import documents_of, pinned_paths
from toolkit.sync.policies.policy import Rule
from toolkit.sync.policies.reads import last_read, last_reads
from toolkit.sync.policies.taking import locked
from toolkit.sync.prefetch import KeptOrder, Prefetcher
from toolkit.sync.serve_reads import serve_reads
from toolkit.sync.task import SyncTask
from toolkit.wire.document import decode_json, encode_json

ROOMY = (10**12, 10**12)


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    for number in range(1, 13):
        site.write(f"data/shard-{number}.tar", tier="warm")
    return site


def task(site, source="warm", **other):
    return SyncTask(
        route="shards", source=site.storages[source], targets=(site.storages["hot"],), path="data", **other
    )


def reader(site, source="warm", *, ahead=2, budget=60_000, **other):
    free = other.pop("free", lambda _: ROOMY)
    return Prefetcher(task(site, source), ahead=ahead, budget_bytes=budget, free=free, **other)


def shard(number):
    return b"data/shard-%d.tar" % number


def there(site):
    return sorted(int(path.rpartition("-")[2].removesuffix(".tar")) for path in site.has("hot"))


def look_ahead(prefetcher):
    while prefetcher.look_ahead():
        pass


@pytest.mark.parametrize("source", ["warm", "cold"])
def test_the_next_ones_are_there_when_they_are_read(site, source):
    if source == "cold":
        site.route("archive", "warm", "cold", "data")
    prefetcher = reader(site, source)
    states = []
    for number in range(1, 7):
        states.append(prefetcher.need(shard(number)).state)
        look_ahead(prefetcher)
    assert states == ["brought"] + ["there"] * 5
    assert there(site) == list(range(1, 9))
    tally = prefetcher.close()
    assert (tally.asked, tally.there, tally.ahead, tally.used) == (6, 5, 7, 5)
    data = (site.root / "warm/data/shard-8.tar").read_bytes()
    assert (site.root / "hot/data/shard-8.tar").read_bytes() == data


def test_an_old_version_is_not_there(site):
    first = reader(site)
    first.need(shard(1))
    first.close()
    new = site.write("data/shard-1.tar", b"n" * 20_000, age=-1, tier="warm").read_bytes()
    (site.root / "warm/data/shard-2.tar").unlink()
    site.write("data/shard-2.tar")
    second = reader(site)
    assert second.need(shard(1)).state == "brought"
    assert second.need(shard(2)).state == "there"  # though the source has let go of it
    second.close()
    assert (site.root / "hot/data/shard-1.tar").read_bytes() == new


def test_no_more_than_the_budget_is_there_unread(site):
    prefetcher = reader(site, ahead=9, budget=59_999)
    prefetcher.need(shard(1))
    look_ahead(prefetcher)
    assert there(site) == [1, 2, 3]
    prefetcher.need(shard(2))
    look_ahead(prefetcher)
    assert there(site) == [1, 2, 3, 4]
    prefetcher.close()


def test_a_disk_that_is_nearly_full_gets_only_what_is_asked_for(site):
    prefetcher = reader(site, free=lambda _: (50_000, 1_000_000 * 20 // 19))
    prefetcher.need(shard(1))
    look_ahead(prefetcher)
    assert there(site) == [1]
    assert prefetcher.need(shard(2)).state == "brought"
    prefetcher.close()


def test_what_was_learnt_serves_the_next_job(site):
    order = [5, 3, 9, 1]
    first = reader(site, ahead=0)
    for number in order:
        first.need(shard(number))
    first.close()
    documents = documents_of(site.storages["hot"])
    data = documents.remote.read("order/shards")
    assert decode_json(data, KeptOrder, what="order").paths[:4] == tuple(b"shard-%d.tar" % n for n in order)
    (site.root / "hot/data/shard-3.tar").unlink()
    (site.root / "hot/data/shard-9.tar").unlink()
    second = reader(site, ahead=2)
    second.need(shard(5))
    look_ahead(second)
    assert there(site) == [1, 3, 5, 9]
    second.close()


@pytest.mark.parametrize("damage", [b"{", encode_json(KeptOrder(paths=(b"../x", b"gone"), at_ms=1))])
def test_a_kept_order_that_is_damaged_counts_as_none(site, damage):
    reader(site).close()
    first = reader(site)
    first.need(shard(1))
    first.close()
    documents_of(site.storages["hot"]).remote.write("order/shards", damage)
    second = reader(site)
    second.need(shard(1))
    look_ahead(second)
    assert there(site) == [1, 2, 3]
    second.close()


def test_making_room_takes_nothing_that_is_about_to_be_read(site):
    prefetcher = reader(site)
    for number in (1, 2):
        prefetcher.need(shard(number))
        look_ahead(prefetcher)
    assert there(site) == [1, 2, 3, 4]
    hot = site.storages["hot"]
    assert pinned_paths(hot, "data") == {b"shard-%d.tar" % number for number in (2, 3, 4)}
    policy = site.policy(capacity={"hot": 40_000}, hot={"high": 0.5, "low": 0.25})
    site.run(policy)
    assert there(site) == [2, 3, 4]
    prefetcher.close()
    assert pinned_paths(hot, "data") == frozenset()
    site.run(policy)
    assert len(there(site)) < 3


def test_a_pin_of_a_job_that_was_killed_ends_by_itself(site):
    prefetcher = reader(site, keep_seconds=60)
    prefetcher.need(shard(1))
    look_ahead(prefetcher)  # and it is killed
    now_ms = site.now()
    assert pinned_paths(site.storages["hot"], "data", now_ms=now_ms)
    assert pinned_paths(site.storages["hot"], "data", now_ms=now_ms + 3_600_000) == frozenset()


def test_reading_counts_as_reading_for_the_rules(site):
    prefetcher = reader(site)
    prefetcher.need(shard(1))
    prefetcher.close()
    reads = last_reads(documents_of(site.storages["hot"]))
    assert last_read(reads, shard(7)) >= site.start_ms


def test_what_is_pinned_by_others_is_left_and_what_left_comes_back(site):
    prefetcher = reader(site)
    prefetcher.need(shard(1))
    prefetcher.close()
    site.run(site.policy(Rule(name="move", action="move", tier="hot", to="warm")))
    assert there(site) == []
    again = reader(site)
    assert again.need(shard(1)).state == "brought"
    again.close()


def test_a_run_at_work_is_no_error_for_what_is_ahead_and_one_for_what_is_needed_when_patience_ends(site):
    prefetcher = reader(site, patience_seconds=0)
    prefetcher.need(shard(1))
    folder = Folder(str(site.root / "hot"))
    with locked(folder, ["routes/shards"]):
        assert prefetcher.look_ahead() is False
        with pytest.raises(SyncError, match="shards"):
            prefetcher.need(shard(5))
    folder.close()
    assert prefetcher.look_ahead() is True
    prefetcher.close()


def test_who_needs_a_file_waits_for_the_run_at_work(site):
    prefetcher = reader(site)
    prefetcher.need(shard(1))
    folder, refused, answers = Folder(str(site.root / "hot")), threading.Event(), []

    class Watched(Prefetcher):
        def _bring(self, name: bytes) -> None:
            try:
                super()._bring(name)
            except SyncError:
                refused.set()
                raise

    waiting = Watched(task(site), ahead=0, budget_bytes=0)
    with locked(folder, ["routes/shards"]):
        asks = threading.Thread(target=lambda: answers.append(waiting.need(shard(5)).state))
        asks.start()
        assert refused.wait(60), "it has been told that another run is at work"
        assert answers == []
    asks.join(60)
    folder.close()
    assert answers == ["brought"]
    for each in (prefetcher, waiting):
        each.close()


def test_who_asks_for_what_is_there_does_not_wait_for_what_is_on_its_way(site, wait_until):
    going, go_on, states = threading.Event(), threading.Event(), []

    class Slow(Prefetcher):
        def _bring(self, name: bytes) -> None:
            if name == b"shard-5.tar":
                going.set()
                assert go_on.wait(60)
            super()._bring(name)

    prefetcher = Slow(task(site), ahead=1, budget_bytes=60_000, free=lambda _: ROOMY)
    prefetcher.need(shard(1))
    asks = [threading.Thread(target=lambda: states.append(prefetcher.need(shard(5)).state)) for _ in range(3)]
    for each in asks:
        each.start()
    assert going.wait(60)
    # Who asks when it has come would find it there, so all three have asked by now.
    wait_until(lambda: prefetcher.tally.asked == 4, "all three have asked")
    assert prefetcher.need(shard(1)).state == "there"
    assert prefetcher.look_ahead() is False, "who needs a file goes first"
    go_on.set()
    for each in asks:
        each.join(60)
    assert states == ["brought"] * 3
    assert prefetcher.close().ahead == 0


def test_what_is_asked_for_while_it_is_on_its_way_is_not_waited_for_again(site):
    going, go_on, states = threading.Event(), threading.Event(), []

    class Slow(Prefetcher):
        def _bring(self, name: bytes) -> None:
            if name == b"shard-2.tar":
                going.set()
                assert go_on.wait(60)
            super()._bring(name)

    prefetcher = Slow(task(site), ahead=1, budget_bytes=60_000, free=lambda _: ROOMY)
    prefetcher.need(shard(1))
    ahead = threading.Thread(target=prefetcher.look_ahead)
    ahead.start()
    assert going.wait(60)
    asks = threading.Thread(target=lambda: states.append(prefetcher.need(shard(2)).state))
    asks.start()
    while prefetcher.tally.asked < 2:
        going.wait(0.01)
    go_on.set()
    for each in (ahead, asks):
        each.join(60)
    assert (states, prefetcher.look_ahead()) == (["brought"], True)
    tally = prefetcher.close()
    assert (tally.ahead, tally.ahead_bytes) == (1, 20_000), "the budget is not spent on what has been read"


def test_bad_requests_are_refused_with_the_cure(site):
    prefetcher = reader(site)
    with pytest.raises(SyncError, match="is not below data") as refused:
        prefetcher.need(b"shard-1.tar")
    assert refused.value.hint == "ask for data/NAME"
    with pytest.raises(UnsafePathError):
        prefetcher.need(b"data/../../etc/passwd")
    with pytest.raises(SyncError, match="has no data/shard-77"):
        prefetcher.need(shard(77))
    prefetcher.close()
    with pytest.raises(UsageError, match="leads to packs"):
        Prefetcher(
            SyncTask(route="a", source=site.storages["warm"], targets=(site.storages["cold"],)),
            ahead=1,
            budget_bytes=1,
        )
    with pytest.raises(UsageError, match="empties its source"):
        Prefetcher(task(site, then="remove_source"), ahead=1, budget_bytes=1)


def test_a_file_that_rotted_at_its_source_is_told(site):
    site.route("archive", "warm", "cold", "data")
    prefetcher = reader(site, "cold")
    for pack in (site.root / "cold/packs").rglob("*"):
        if pack.is_file():
            pack.write_bytes(b"\0" * pack.stat().st_size)
    with pytest.raises((SyncError, IntegrityError)):
        prefetcher.need(shard(1))
    assert prefetcher.look_ahead() is False
    assert there(site) == []


def test_lines_are_answered_and_their_end_ends_it(site):
    answers, lines = [], [b"data/shard-1.tar\n", b"\n", b"data/nothing\n", b"data/shard-2.tar"]
    prefetcher = reader(site, ahead=0)  # else the first may be there before it is asked for
    worst = serve_reads(prefetcher, lines, answers.append, threading.Event())
    prefetcher.close()
    assert [(each.path, each.state) for each in answers] == [
        ("data/shard-1.tar", "brought"),
        ("data/nothing", "failed"),
        ("data/shard-2.tar", "brought"),
    ]
    assert worst == 1
    assert "tiers sync where" in answers[1].hint
    stopped = threading.Event()
    stopped.set()
    other = reader(site)
    assert serve_reads(other, iter([shard(1)]), answers.append, stopped) == 0
    assert len(answers) == 3
    other.close()


def test_between_two_requests_the_next_is_brought(site):
    answers = []
    is_ahead = threading.Event()

    class Watched(Prefetcher):
        def look_ahead(self) -> bool:
            if not self.tally.asked:  # else the first is there too, where its line is slow to come
                return False
            did = super().look_ahead()
            if not did:
                is_ahead.set()
            return did

    def lines():
        for number in (1, 2):
            yield shard(number)
            while len(answers) < number:
                is_ahead.wait(0.01)
            is_ahead.clear()
            assert is_ahead.wait(60)

    prefetcher = Watched(task(site), ahead=1, budget_bytes=60_000, free=lambda _: ROOMY)
    serve_reads(prefetcher, lines(), answers.append, threading.Event())
    prefetcher.close()
    assert [each.state for each in answers] == ["brought", "there"]
