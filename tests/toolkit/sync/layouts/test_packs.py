"""Packs: what is in them is found, proven, healed; what an interrupted writer left is taken up."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contracts.remote import BreakingRemote, MemoryRemote
from toolkit.errors import IntegrityError, MissingObjectError, RemoteUnavailableError
from toolkit.sync.layouts.pack import MAX_PACK_BYTES, StoredChunk, decode_pack, encode_pack
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.wire.chunk import store_chunk
from toolkit.wire.digest import digest_of


def chunks(seed: int, count: int, size: int = 1000) -> list[StoredChunk]:
    draw = random.Random(seed)
    datas = [draw.randbytes(size) for _ in range(count)]
    return [StoredChunk(digest_of(data), len(data), store_chunk(data)) for data in datas]


@pytest.fixture
def remote():
    return MemoryRemote()


def test_what_was_added_is_found_by_another_store(remote):
    mine = chunks(1, 30)
    added = PackStore(remote).add(mine)
    assert (added.chunks, added.packs, added.skipped, added.total_bytes) == (30, 1, 0, 30_000)
    other = PackStore(remote)
    assert other.missing([chunk.digest for chunk in mine]) == []
    for chunk in mine:
        assert other.read_stored(chunk.digest) == chunk.stored
        assert digest_of(other.read_chunk(chunk.digest)) == chunk.digest
        assert other.size_of(chunk.digest) == chunk.size


def test_adding_again_stores_nothing(remote):
    PackStore(remote).add(chunks(1, 10))
    before = dict(remote.objects)
    added = PackStore(remote).add([*chunks(1, 10), *chunks(1, 10)])
    assert (added.chunks, added.skipped) == (0, 20)
    assert remote.objects == before


def test_the_same_chunk_twice_in_one_go_is_stored_once(remote):
    chunk = chunks(1, 1)[0]
    assert PackStore(remote).add([chunk, chunk]).chunks == 1


def test_packs_stay_below_their_limit_and_only_the_last_is_small(remote):
    told = []
    added = PackStore(remote).add(chunks(2, 40, 1024 * 1024), on_pack=told.append)
    sizes = sorted(len(data) for data in remote.objects.values())
    assert added.packs == len(sizes) == len(told) == 3
    assert sizes[-1] <= MAX_PACK_BYTES
    assert sizes[1] > MAX_PACK_BYTES - 2 * 1024 * 1024
    assert sum(pack.chunks for pack in told) == 40
    assert sum(pack.stored_bytes for pack in told) == added.stored_bytes == 40 * (1024 * 1024 + 1)


def test_a_chunk_that_others_add_later_is_found(remote):
    reader = PackStore(remote)
    chunk = chunks(1, 1)[0]
    with pytest.raises(MissingObjectError, match=chunk.digest[:12]):
        reader.read_stored(chunk.digest)
    assert not reader.has(chunk.digest)
    PackStore(remote).add([chunk])
    assert reader.read_stored(chunk.digest) == chunk.stored


def test_a_chunk_is_found_where_it_moved_when_its_pack_is_gone(remote):
    first, second = chunks(1, 2)
    PackStore(remote).add([first])
    only = next(iter(remote.objects))
    reader = PackStore(remote)
    assert reader.has(first.digest)
    pack, data = encode_pack([first, second])
    remote.write(f"packs/{pack}", data)
    remote.delete(only)
    assert reader.read_stored(first.digest) == first.stored
    remote.delete(f"packs/{pack}")
    reader.refresh()
    assert reader.missing([first.digest, second.digest]) == [first.digest, second.digest]


def test_a_damaged_chunk_is_named_with_its_pack_and_the_cure_and_the_others_stay_readable(remote):
    mine = chunks(3, 5)
    PackStore(remote).add(mine)
    (key,) = remote.objects
    damaged = bytearray(remote.objects[key])
    damaged[len(mine[0].stored) + 40] ^= 1
    remote.objects[key] = bytes(damaged)
    store = PackStore(remote)
    with pytest.raises(IntegrityError) as caught:
        store.read_stored(mine[1].digest)
    pack = key.removeprefix("packs/")
    assert pack[:12] in caught.value.message
    assert mine[1].digest[:12] in caught.value.message
    assert caught.value.exit_code == 6
    assert f"remove packs/{pack}" in caught.value.hint
    assert store.read_stored(mine[2].digest) == mine[2].stored
    # The cure works: the pack goes, and only its chunks are stored again.
    remote.delete(key)
    assert store.add(mine).chunks == 5
    assert PackStore(remote).read_stored(mine[1].digest) == mine[1].stored


@pytest.mark.parametrize("where", [-1, -20, -36, -38, -60])
def test_a_pack_with_a_damaged_trailer_counts_as_missing_and_is_healed_by_the_same_push(remote, where):
    mine = chunks(4, 5)
    PackStore(remote).add(mine)
    (key,) = remote.objects
    whole = remote.objects[key]
    damaged = bytearray(whole)
    damaged[where] ^= 0x40
    remote.objects[key] = bytes(damaged)
    store = PackStore(remote)
    assert store.missing([chunk.digest for chunk in mine]) == [chunk.digest for chunk in mine]
    assert list(store.damaged_packs) == [key.removeprefix("packs/")]
    with pytest.raises(IntegrityError, match="damaged pack"):
        store.read_stored(mine[0].digest)
    assert store.add(mine).chunks == 5
    assert remote.objects == {key: whole}
    assert store.damaged_packs == {}


def test_a_pack_that_was_cut_short_is_said_to_be(remote):
    PackStore(remote).add(chunks(5, 5))
    (key,) = remote.objects
    store = PackStore(remote)
    assert store.has(chunks(5, 1)[0].digest)
    remote.objects[key] = remote.objects[key][:-3000]
    with pytest.raises(IntegrityError, match=r"ends .* too early"):
        store.read_stored(chunks(5, 5)[4].digest)
    assert PackStore(remote).damaged_packs != {}


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "has 0 bytes"),
        (b"short", "has 5 bytes"),
        (bytes(100), "does not end like a pack"),
        (encode_pack(chunks(6, 1))[1] + b"x", "does not end like a pack"),
        (b"TPK1" + (1 << 31).to_bytes(4, "big") + bytes(32), "does not end like a pack"),
    ],
)
def test_what_is_no_pack_is_refused_before_anything_is_allocated(data, complaint):
    with pytest.raises(IntegrityError, match=complaint):
        decode_pack(data, what="pack x")


def test_a_trailer_that_points_outside_is_refused():
    from toolkit.sync.layouts import pack as layout
    from toolkit.wire.digest import to_raw

    chunk = chunks(7, 1)[0]
    for offset, length, size in ((0, 5000, 1000), (990, 1001, 1000), (0, 0, 1000), (0, 1001, 1 << 30)):
        table = layout._ENTRY.pack(to_raw(chunk.digest), offset, length, size)
        data = chunk.stored + table + layout._FOOTER.pack(b"TPK1", 1, to_raw(digest_of(table)))
        with pytest.raises(IntegrityError, match="which cannot be"):
            decode_pack(data, what="pack x")


def test_what_is_not_named_by_a_digest_is_not_ours(remote):
    remote.write("packs/README", b"hello")
    store = PackStore(remote)
    store.add(chunks(8, 1))
    assert store.damaged_packs == {}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("breaks_at", [1, 2, 3])
def test_a_writer_that_breaks_off_leaves_whole_packs_which_the_next_one_takes_up(breaks_at, after):
    mine = chunks(9, 40, 1024 * 1024)
    inner = MemoryRemote()
    with pytest.raises(RemoteUnavailableError):
        PackStore(BreakingRemote(inner, breaks_at=breaks_at, after=after)).add(mine)
    durable = breaks_at - 1 + after
    assert len(inner.objects) == durable
    store = PackStore(inner)
    missing = set(store.missing([chunk.digest for chunk in mine]))
    added = store.add(chunk for chunk in mine if chunk.digest in missing)
    assert added.skipped == 0
    assert added.packs == 3 - durable
    assert PackStore(inner).missing([chunk.digest for chunk in mine]) == []


def test_many_threads_read_at_once(tmp_path):
    remote = DirectoryRemote(str(tmp_path))
    mine = chunks(10, 200)
    PackStore(remote).add(mine)
    store = PackStore(remote)
    with ThreadPoolExecutor(8) as pool:
        assert (
            list(pool.map(lambda chunk: store.read_stored(chunk.digest) == chunk.stored, mine))
            == [True] * 200
        )


def test_two_writers_at_once_lose_nothing(tmp_path):
    remote = DirectoryRemote(str(tmp_path))
    mine, shared, theirs = chunks(11, 50), chunks(12, 50), chunks(13, 50)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda batch: PackStore(remote).add(batch), ([*mine, *shared], [*shared, *theirs])))
    store = PackStore(remote)
    for chunk in (*mine, *shared, *theirs):
        assert store.read_stored(chunk.digest) == chunk.stored


class Counting(MemoryRemote):
    """Counts what is read of packs."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def read(self, key, **part):
        self.reads += key.startswith("packs/")
        return super().read(key, **part)


def test_neighbours_are_read_at_once_and_others_one_by_one():
    remote = Counting()
    store = PackStore(remote)
    first, second = chunks(1, 20), chunks(2, 20)
    store.add(first)
    store.add(second)
    remote.reads = 0
    wanted = [*first[:10], *second[5:], first[19], first[18]]
    assert list(store.read_run(chunk.digest for chunk in wanted)) == [chunk.stored for chunk in wanted]
    assert remote.reads == 4


def test_a_run_is_not_longer_than_may_be_held():
    remote = Counting()
    store = PackStore(remote)
    mine = chunks(3, 12, 512 * 1024)
    store.add(mine)
    remote.reads = 0
    assert list(store.read_run(chunk.digest for chunk in mine)) == [chunk.stored for chunk in mine]
    assert remote.reads == 6


def test_what_comes_before_a_damaged_chunk_is_given_first(remote):
    store = PackStore(remote)
    mine = chunks(1, 10)
    store.add(mine)
    (key,) = remote.objects
    damaged = bytearray(remote.objects[key])
    damaged[4 * 1001 + 500] ^= 1
    remote.objects[key] = bytes(damaged)
    given = []
    with pytest.raises(IntegrityError, match=mine[4].digest[:12]):
        given.extend(store.read_run(chunk.digest for chunk in mine))
    assert given == [chunk.stored for chunk in mine[:4]]
    given = []
    with pytest.raises(MissingObjectError):
        given.extend(store.read_run([mine[0].digest, digest_of(b"nobody has it")]))
    assert given == [mine[0].stored]


class Gathering(MemoryRemote):
    """A Remote that answers reads only when eight are asked at once: a line on which each of them is a wait."""

    def __init__(self) -> None:
        super().__init__()
        self.together = threading.Barrier(8)

    def read(self, key, **words):
        self.together.wait(timeout=60)
        return super().read(key, **words)


def test_the_trailers_of_many_packs_are_read_together():
    remote = Gathering()
    for number in range(16):
        data = b"%d" % number
        pack, packed = encode_pack([StoredChunk(digest_of(data), len(data), b"\0" + data)])
        remote.write(f"packs/{pack}", packed)
    store = PackStore(remote)
    store.refresh()
    assert sorted(store.digests()) == sorted(digest_of(b"%d" % number) for number in range(16))
