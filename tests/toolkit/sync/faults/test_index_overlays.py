"""Indexes that rest as overlays of older ones: flipped bits, what an enemy writes, collections and writers at once."""

from __future__ import annotations

import random
import struct
from contextlib import suppress

import msgspec
import pytest

from tests.toolkit.sync.faults.stepping import HOUR_MS, Actor, ClockedRemote
from tests.toolkit.sync.large_route import ROOT, bring, changed, held, index_of, overlays_in, pieces_of
from toolkit.errors import IntegrityError, MissingObjectError, SyncError
from toolkit.sync.gc import Rules, collect
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.other_copies import Copy, MirrorCopy, PackCopy
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.repair import repair_store
from toolkit.sync.retention import Keep
from toolkit.sync.verify import verify_packs
from toolkit.wire.digest import Digest, digest_of, to_raw
from toolkit.wire.index import encode_index
from toolkit.wire.index_overlay import is_index_overlay

FIRST = pieces_of(1)
SECOND = changed(FIRST, 2)
THIRD = changed(SECOND, 3)
STATES = (FIRST, SECOND, THIRD)
BASE, *LAID = [f"indexes/{encode_index(index_of(each))[0]}" for each in STATES]
LAST = Rules(grace_seconds=0, keep=Keep(last=1))
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.faults) for seed in range(1, 4))]


@pytest.fixture(scope="module")
def made():
    """A store with three states, the last two of which rest upon the first."""
    remote = ClockedRemote()
    for pieces in STATES:
        bring(remote, pieces)
    assert overlays_in(remote) == set(LAID)
    return remote


@pytest.fixture
def store(made):
    return copy_of(made)


def copy_of(remote: ClockedRemote) -> ClockedRemote:
    copy = ClockedRemote(remote.now_ms)
    copy.objects, copy.modified = dict(remote.objects), dict(remote.modified)
    return copy


def collected(remote: ClockedRemote) -> set[str]:
    """Collect twice: what the first one marks the second one deletes."""
    gone: set[str] = set()
    for _ in range(2):
        remote.now_ms += HOUR_MS
        gone |= {*collect(PackStore(remote), LAST).deleted}
    return gone


def flip(remote: ClockedRemote, key: str, seed: int) -> None:
    data = bytearray(remote.objects[key])
    draw = random.Random(seed)
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    remote.objects[key] = bytes(data)


# ---------------------------------------------------------------- verify and repair
def mirror_with_last(path) -> Copy:
    """A mirror that got the last state; it keeps whole indexes, and only that one."""
    (path / "large").mkdir(parents=True)
    (path / "large/large").write_bytes(b"".join(THIRD))
    (path / ".tiers").mkdir()
    documents = Documents(DirectoryRemote(str(path / ".tiers")))
    digest = documents.put_index(index_of(THIRD))
    documents.write_ref(f"{ROOT}/head", Ref(kind="index", digest=digest, path="large", sequence=3))
    return MirrorCopy(str(path))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("key", [BASE, LAID[0], LAID[1]], ids=["base", "overlay", "newest"])
def test_a_flipped_bit_is_named_and_mended_from_another_store(made, store, key, seed):
    flip(store, key, seed)
    named = {damage.what for damage in verify_packs(PackStore(store))}
    assert key in named
    done = repair_store(PackStore(store), [PackCopy(PackStore(made))])
    assert (done.left, key in done.mended) == ([], True)
    assert verify_packs(PackStore(store)) == []
    assert held(store) == LAID[1].removeprefix("indexes/")
    again = repair_store(PackStore(store), [PackCopy(PackStore(made))])
    assert (again.mended, again.left) == ([], [])


def test_a_base_that_is_damaged_is_named_with_all_that_rests_on_it(store):
    flip(store, BASE, 1)
    damage = {each.what: each for each in verify_packs(PackStore(store))}
    assert {BASE, *LAID, f"refs/{ROOT}/head"} <= damage.keys()
    base = BASE.removeprefix("indexes/")[:12]
    assert f"is an overlay of index {base}, which does not hold the bytes" in damage[LAID[1]].reason
    assert "--repair" in damage[LAID[1]].cure


def test_a_base_whose_own_state_is_forgotten_is_named_and_mended(made, store):
    PackStore(store).delete_ref(f"{ROOT}/at/0000000001")
    flip(store, BASE, 1)
    assert BASE in {damage.what for damage in verify_packs(PackStore(store))}
    done = repair_store(PackStore(store), [PackCopy(PackStore(made))])
    assert (done.left, BASE in done.mended) == ([], True)
    assert store.objects[BASE] == made.objects[BASE]


def test_a_mirror_that_has_only_the_newest_state_mends_that_and_says_what_is_lost(store, tmp_path):
    flip(store, BASE, 1)
    done = repair_store(PackStore(store), [mirror_with_last(tmp_path / "mirror")])
    assert LAID[1] in done.mended
    assert any(BASE in left for left in done.left)
    assert held(store) == LAID[1].removeprefix("indexes/")
    assert not is_index_overlay(store.objects[LAID[1]]), "it needs nothing that is damaged any more"


def test_a_missing_base_is_named_with_the_cure(store):
    del store.objects[BASE]
    base = BASE.removeprefix("indexes/")[:12]
    with pytest.raises(
        MissingObjectError, match=f"is an overlay of index {base}, which .* does not have"
    ) as caught:
        held(store)
    assert "tiers sync verify --repair" in caught.value.hint
    assert BASE in {damage.what for damage in verify_packs(PackStore(store))}
    with pytest.raises(IntegrityError, match="nothing is collected"):
        collect(PackStore(store), LAST)


# ---------------------------------------------------------------- what an enemy writes
def forged(remote: ClockedRemote, *runs: object, bases: object) -> None:
    digest = LAID[1].removeprefix("indexes/")
    remote.objects[f"indexes/{digest}"] = msgspec.msgpack.encode({"bases": bases, "format": 1, "runs": runs})


@pytest.mark.parametrize(
    "over", ["itself", "another overlay", "a pack", "other bytes", "too much", "nothing"]
)
def test_what_an_enemy_lays_an_index_over_is_refused(store, over):
    digest = Digest(LAID[1].removeprefix("indexes/"))
    raw = {
        "itself": to_raw(digest),
        "another overlay": to_raw(Digest(LAID[0].removeprefix("indexes/"))),
        "a pack": to_raw(Digest(next(key for key in store.objects if key.startswith("packs/"))[6:])),
    }.get(over, to_raw(Digest(BASE.removeprefix("indexes/"))))
    runs = {"other bytes": [[0, 0, 70_000]], "too much": [[0, 0, 2**26]] * 2, "nothing": []}
    forged(store, *runs.get(over, [[0, 0, 100]]), bases=[raw])
    with pytest.raises((IntegrityError, MissingObjectError)) as caught:
        PackStore(store).get_index(digest)
    assert digest[:12] in caught.value.message
    assert LAID[1] in {damage.what for damage in verify_packs(PackStore(store))}


def test_an_index_that_looks_like_an_overlay_is_none(store):
    """Whatever begins like one is read as one, so an artifact or a state cannot be hidden behind the same digest."""
    data = b"\x83\xa5bases" + struct.pack(">Q", 1)
    digest = digest_of(data)
    store.objects[f"indexes/{digest}"] = data
    with pytest.raises(IntegrityError, match=digest[:12]):
        PackStore(store).get_index(digest)


# ---------------------------------------------------------------- collections and writers
def test_a_base_stays_while_something_rests_upon_it_and_goes_with_it(store):
    gone = collected(store)
    assert gone == {LAID[0]}, "the state of the base is forgotten, its index is needed"
    assert verify_packs(PackStore(store)) == []
    bring(store, pieces_of(9))
    gone = collected(store)
    assert {BASE, LAID[1]} <= gone
    assert overlays_in(store) == set()
    assert verify_packs(PackStore(store)) == []


def test_garbage_whose_base_has_been_collected_is_not_counted_on(store):
    """A collection that was broken off may leave an overlay and take its base; then a run brings just that state."""
    for name in PackStore(store).list_refs():
        PackStore(store).delete_ref(name)
    del store.objects[BASE]
    ref = bring(store, THIRD)
    assert f"indexes/{ref.digest}" == LAID[1]
    assert held(store) == ref.digest
    assert verify_packs(PackStore(store)) == []


def steps_of(remote: ClockedRemote, work) -> int:
    """Count the operations that somebody alone does."""
    alone = Actor("alone", copy_of(remote), work)
    count = 0
    while not alone.done:
        alone.step()
        count += 1
    assert alone.error is None
    return count


def collect_all(remote) -> None:
    collect(PackStore(remote), LAST)


def marked(remote: ClockedRemote) -> ClockedRemote:
    """What is unused is known to be, so that the next collection deletes it."""
    collect(PackStore(remote), LAST)
    remote.now_ms += HOUR_MS
    return remote


STOPS = [
    pytest.param(0, 2, id="two"),
    *(pytest.param(seed, 4, marks=pytest.mark.faults, id=f"four-{seed}") for seed in (1, 2)),
]
"""Seed, and how many of the moments are tried; all of them were, once, and that takes minutes."""


@pytest.mark.parametrize(("seed", "many"), STOPS)
@pytest.mark.parametrize("fourth", ["laid over", "whole"])
def test_a_collection_between_any_two_steps_of_a_writer(store, fourth, seed, many):
    marked(store)
    draw = random.Random(seed)
    new = changed(THIRD, 4) if fourth == "laid over" else pieces_of(10)

    def write(remote) -> Ref:
        return bring(remote, new)

    for stop in draw.sample(range(steps_of(store, write)), many):
        here = copy_of(store)
        writer = Actor("writer", here, write)
        for _ in range(stop):
            writer.step()
        here.now_ms += HOUR_MS
        collect_all(here)
        writer.kill() if draw.random() < 0.5 else writer.finish()
        assert writer.error is None or isinstance(writer.error, SyncError), (stop, writer.error)
        held(here)
        bring(here, new)
        assert held(here) == encode_index(index_of(new))[0]
        assert verify_packs(PackStore(here)) == [], stop


@pytest.mark.parametrize(("seed", "many"), STOPS)
@pytest.mark.parametrize("fourth", ["laid over", "whole"])
def test_a_writer_between_any_two_steps_of_a_collection(store, fourth, seed, many):
    marked(store)
    new = changed(THIRD, 4) if fourth == "laid over" else pieces_of(10)
    for stop in random.Random(seed).sample(range(steps_of(store, collect_all)), many):
        here = copy_of(store)
        collector = Actor("collector", here, collect_all)
        for _ in range(stop):
            collector.step()
        with suppress(SyncError):  # what it needs may be going at this moment; the next run brings it
            bring(here, new)
        collector.finish()
        assert collector.error is None, stop
        held(here)
        assert verify_packs(PackStore(here)) == [], stop


def test_a_writer_whose_base_went_while_it_was_stopped_writes_no_ref(store):
    """It laid a state over the head's; meanwhile another one brought something else, and all old states went."""
    writer = Actor("writer", store, lambda remote: bring(remote, changed(THIRD, 4)))
    while not writer.at.startswith("write_new pending/"):
        writer.step()
    bring(store, pieces_of(11))
    assert BASE in collected(store)
    writer.finish()
    assert isinstance(writer.error, SyncError)
    assert held(store) == encode_index(index_of(pieces_of(11)))[0]
    assert verify_packs(PackStore(store)) == []


def test_an_index_that_went_and_came_again_as_an_overlay_keeps_its_base(store):
    """A collection looks twice; between its looks what it saw whole may rest upon something that it saw unused."""
    fourth = changed(THIRD, 4)
    whole = f"indexes/{encode_index(index_of(fourth))[0]}"
    remote = copy_of(store)
    bring(remote, fourth)
    laid = remote.objects[whole]
    assert is_index_overlay(laid)
    alone = PackStore(store)
    alone.add_again([])
    bring(store, fourth)
    store.objects[whole] = encode_index(index_of(fourth))[1]
    for name in alone.list_refs(f"{ROOT}/at/")[:-1]:
        alone.delete_ref(name)
    marked(store)
    collector = Actor("collector", store, collect_all)
    while not collector.at.startswith("write_new gc/sweeps/"):
        collector.step()
    store.objects[whole] = laid  # what a repair and a run could do together
    ref = alone.read_ref(f"{ROOT}/head")
    alone.write_ref(f"{ROOT}/head", msgspec.structs.replace(ref, written_ms=ref.written_ms + 1))
    collector.finish()
    assert collector.error is None
    assert held(store) == whole.removeprefix("indexes/")
    assert verify_packs(PackStore(store)) == []
