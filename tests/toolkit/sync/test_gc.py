"""What a collection deletes, keeps, forgets, rewrites and refuses, one thing at a time; at once: faults/."""

from __future__ import annotations

import pytest

from tests.toolkit.sync.faults.stepping import HOUR_MS, ClockedRemote
from tests.toolkit.sync.trees import task_of
from toolkit.errors import IntegrityError, MissingObjectError, RemoteUnavailableError, SyncError
from toolkit.sync.collecting import PENDING, SWEEPS, read_marks, read_sweep
from toolkit.sync.gc import Rules, collect
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.ref import Ref, encode_ref
from toolkit.sync.retention import Keep
from toolkit.sync.run import run_task
from toolkit.sync.sweep import STALE_MS, SWEEP_SECONDS, Sweeping
from toolkit.sync.task import Storage
from toolkit.sync.verify import verify_packs

PACKS = Storage(tier="cold", url="memory://test", layout="packs")
DAY_MS = 24 * HOUR_MS
LAST = Rules(keep=Keep(last=1))


@pytest.fixture
def store():
    return ClockedRemote()


@pytest.fixture
def push(tmp_path, store):
    task = task_of(tmp_path, PACKS)

    def fill(**files: bytes) -> None:
        for path in (tmp_path / "edge/frames").iterdir():
            path.unlink()
        for name, content in files.items():
            (tmp_path / "edge/frames" / name).write_bytes(content)
        assert run_task(task, remotes=lambda _: store).exit_code == 0

    return fill


def keys(store, prefix):
    return sorted(key for key in store.objects if key.startswith(prefix))


def test_nothing_is_garbage_while_a_history_needs_it(store, push):
    push(a=b"one" * 900)
    push(a=b"two" * 900)
    before = dict(store.objects)
    done = collect(PackStore(store))
    assert (done.refs, done.packs, done.waiting, done.deleted, done.problems) == (3, 2, 0, (), ())
    assert {key: data for key, data in store.objects.items() if not key.startswith("gc/")} == before


def test_garbage_is_marked_first_and_deleted_after_the_grace_by_the_stores_clock(store, push):
    push(a=b"one" * 900)
    old = {*keys(store, "packs/"), *keys(store, "indexes/")}
    push(a=b"two" * 900)
    first = collect(PackStore(store), LAST)
    assert first.forgotten == ("routes/frames/at/0000000001",)
    assert (first.deleted, first.waiting) == ((), 2)
    assert set(read_marks(store).since) == old
    store.now_ms += DAY_MS - HOUR_MS
    assert collect(PackStore(store), LAST).deleted == ()
    store.now_ms += HOUR_MS
    rehearsed = collect(PackStore(store), LAST, dry_run=True)
    assert set(rehearsed.deleted) <= old  # by this machine's clock, which the store does not share
    last = collect(PackStore(store), LAST)
    assert (set(last.deleted), last.waiting) == (old, 0)
    assert last.deleted_bytes == first.waiting_bytes
    assert verify_packs(PackStore(store)) == []
    assert collect(PackStore(store), LAST).deleted == ()


def test_what_is_needed_again_is_not_deleted_though_it_was_marked(store, push):
    push(a=b"one" * 900)
    push(a=b"two" * 900)
    collect(PackStore(store), LAST)
    store.now_ms += DAY_MS
    push(b=b"one" * 900)
    done = collect(PackStore(store), LAST)
    assert all(not key.startswith("packs/") or key not in keys(store, "packs/") for key in done.deleted)
    assert verify_packs(PackStore(store)) == []
    assert PackStore(store).get_index(PackStore(store).read_ref("routes/frames/head").digest)


def test_refs_of_any_name_count(store, push):
    push(a=b"one" * 900)
    raw = PackStore(store)
    raw.write_ref("of/whatever/kind", raw.read_ref("routes/frames/head"))
    push(a=b"two" * 900)
    collect(raw, LAST)
    store.now_ms += 2 * DAY_MS
    assert collect(PackStore(store), LAST).deleted == ()


def test_a_pin_that_has_ended_holds_nothing(store, push):
    push(a=b"one" * 900)
    raw = PackStore(store)
    head = raw.read_ref("routes/frames/head")
    for holder, until in (("ended", store.now_ms - 1), ("lasts", store.now_ms + DAY_MS), ("for-ever", 0)):
        ref = Ref(kind="index", digest=head.digest, path=head.path, until_ms=until)
        raw.write_ref(f"pins/frames/{holder}", ref)
    assert collect(raw).forgotten == ("pins/frames/ended",)
    assert raw.list_refs("pins/") == ("pins/frames/for-ever", "pins/frames/lasts")


def test_a_pack_that_is_mostly_garbage_is_rewritten(store, push):
    push(a=b"one" * 9000, b=b"two" * 900, c=bytes(range(256)) * 100)
    push(b=b"two" * 900)
    (before,) = keys(store, "packs/")
    done = collect(PackStore(store), LAST)
    assert (done.repacked, len(keys(store, "packs/"))) == (1, 2)
    assert done.repacked_bytes < len(store.objects[before]) / 2
    store.now_ms += DAY_MS
    done = collect(PackStore(store), LAST)
    assert before in done.deleted
    assert (done.repacked, len(keys(store, "packs/"))) == (0, 1)
    assert verify_packs(PackStore(store)) == []


def test_the_old_pack_stays_when_the_new_one_has_rotted(store, push):
    push(a=b"one" * 9000, b=b"two" * 900, c=bytes(range(256)) * 100)
    push(b=b"two" * 900)
    (before,) = keys(store, "packs/")
    collect(PackStore(store), LAST)
    (new,) = set(keys(store, "packs/")) - {before}
    data = bytearray(store.objects[new])
    data[5] ^= 1
    store.objects[new] = bytes(data)
    store.now_ms += DAY_MS
    done = collect(PackStore(store), LAST)
    assert before in store.objects
    assert f"{before} stays" in done.problems[0]


@pytest.mark.parametrize("prefix", ["refs/routes/frames/head", "indexes/", PENDING])
def test_damage_stops_it_before_anything_is_done(store, push, prefix):
    push(a=b"one" * 900)
    push(a=b"two" * 900)
    head = PackStore(store).read_ref("routes/frames/head")
    store.write(f"{PENDING}x", encode_ref(head))
    key = f"indexes/{head.digest}" if prefix == "indexes/" else keys(store, prefix)[-1]
    store.objects[key] = b"\xff" + store.objects[key][1:]
    before = {name: data for name, data in store.objects.items() if not name.startswith("gc/")}
    with pytest.raises(IntegrityError):
        collect(PackStore(store), LAST)
    assert {name: data for name, data in store.objects.items() if not name.startswith("gc/")} == before


def test_a_lost_list_of_marks_costs_one_more_grace(store, push):
    push(a=b"one" * 900)
    push(a=b"two" * 900)
    collect(PackStore(store), LAST)
    store.objects["gc/marks"] = b"\xff"
    store.now_ms += DAY_MS
    done = collect(PackStore(store), LAST)
    assert done.deleted == ()
    assert "gc/marks" in done.problems[0]
    store.now_ms += DAY_MS
    assert len(collect(PackStore(store), LAST).deleted) == 2


@pytest.mark.parametrize("skew_ms", [-DAY_MS, DAY_MS])
def test_clocks_of_machines_do_not_matter(store, push, skew_ms):
    """The machine's clock is a day off the store's; what counts is the store's."""
    push(a=b"one" * 900)
    push(a=b"two" * 900)
    collect(PackStore(store), LAST)
    store.now_ms += skew_ms
    done = collect(PackStore(store), LAST)  # a clock that went back, or that another machine set a day on
    assert verify_packs(PackStore(store)) == []
    assert bool(done.deleted) == (skew_ms > 0)
    assert all(since <= store.now_ms for since in read_marks(store).since.values())


def test_a_promise_that_nobody_keeps_is_forgotten_after_a_week(store, push):
    push(a=b"one" * 900)
    store.write(f"{PENDING}dead", encode_ref(PackStore(store).read_ref("routes/frames/head")))
    assert collect(PackStore(store)).promises == 1
    store.now_ms += 6 * DAY_MS
    collect(PackStore(store))
    assert keys(store, PENDING) == [f"{PENDING}dead"]
    store.now_ms += DAY_MS
    collect(PackStore(store))
    assert keys(store, PENDING) == []


def test_a_state_above_the_head_is_of_a_run_under_way_and_stays(store, push):
    push(a=b"one" * 900)
    push(a=b"two" * 900)
    raw = PackStore(store)
    raw.write_ref("routes/frames/head", raw.read_ref("routes/frames/at/0000000001"))
    assert collect(raw, LAST).forgotten == ()
    assert verify_packs(raw) == []


def test_a_store_that_contradicts_itself_about_a_ref_is_not_collected(store, push):
    push(a=b"one" * 900)

    class Forgetful(ClockedRemote):
        """Says once that a head is not there."""

        said = False

        def read(self, key, **options):
            if key.endswith("/head") and not self.said:
                self.said = True
                raise MissingObjectError(f"{key}: 404")
            return super().read(key, **options)

    odd = Forgetful()
    odd.objects = store.objects
    with pytest.raises(RemoteUnavailableError, match="is there, and that it is not"):
        collect(PackStore(odd))


# ---------------------------------------------------------------- sweeps
def test_one_sweep_at_a_time_and_one_that_was_killed_is_closed_after_an_hour(store):
    first = Sweeping(store, ["packs/a"], now_ms=store.now_ms)
    with pytest.raises(SyncError, match="another collection or repair is at work"):
        Sweeping(store, ["packs/b"], now_ms=store.now_ms + STALE_MS - 1)
    with pytest.raises(ValueError, match="not announced"):
        first.delete("packs/b")
    second = Sweeping(store, ["packs/b"], now_ms=store.now_ms + STALE_MS)
    assert read_sweep(store, keys(store, SWEEPS)[-1]).condemned == ("packs/a", "packs/b")
    second.finish()
    assert [read_sweep(store, key).done for key in keys(store, SWEEPS)] == [True]
    Sweeping(store, [], now_ms=store.now_ms + STALE_MS).finish()
    assert keys(store, SWEEPS) == [f"{SWEEPS}{3:010d}"]


def test_a_sweep_that_slept_deletes_nothing_more(store):
    time = [0.0]
    store.write("packs/a", b"a")
    sweeping = Sweeping(store, ["packs/a"], now_ms=store.now_ms, ticks=lambda: time[0])
    time[0] = SWEEP_SECONDS + 1
    assert not sweeping.delete("packs/a")
    time[0] = SWEEP_SECONDS
    assert sweeping.delete("packs/a")
    assert "packs/a" not in store.objects


def test_a_number_that_others_have_used_up_is_not_taken(store):
    class Late(ClockedRemote):
        """Lists the sweeps as they were before the others came, once."""

        listed = False

        def list(self, prefix=""):
            if self.listed:
                return super().list(prefix)
            self.listed = True
            return iter(())

    late = Late()
    Sweeping(store, [], now_ms=0).finish()
    later = Sweeping(store, ["packs/a"], now_ms=0)
    late.objects = store.objects
    store.objects.pop(f"{SWEEPS}{1:010d}", None)
    with pytest.raises(SyncError, match="at work"):
        Sweeping(late, ["packs/b"], now_ms=0)
    assert keys(store, SWEEPS) == [f"{SWEEPS}{2:010d}"]
    later.finish()


def test_what_a_collection_has_named_and_will_spare_is_not_missing_to_who_verifies(store, push):
    push(a=b"needed")
    packs = PackStore(store)
    named = [found.key for found in store.list("packs/")]
    sweeping = Sweeping(store, named, now_ms=store.now_ms)
    try:
        packs.refresh()
        (chunk,) = packs.digests()
        assert packs.missing([chunk]) == [chunk], "a writer does not count on it"
        assert packs.holds(chunk)
        assert verify_packs(packs) == [], "nothing is damaged"
    finally:
        sweeping.finish()
