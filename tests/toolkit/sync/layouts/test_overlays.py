"""Packs of overlays: what lies in them is found and put together, and what lies about its bases is refused by name."""

from __future__ import annotations

import random

import pytest

from tests.contracts.remote import MemoryRemote
from toolkit.errors import IntegrityError, MissingObjectError
from toolkit.sync.delta.drift import encode_drifted
from toolkit.sync.layouts import pack as layout
from toolkit.sync.layouts.pack import StoredChunk, decode_pack, encode_pack
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.ref import Ref
from toolkit.wire.chunk import open_chunk, store_chunk
from toolkit.wire.digest import digest_of, to_raw
from toolkit.wire.index import ChunkRef, Index, file_entry
from toolkit.wire.overlay import NEW, Run, encode_overlay

SIZE = 20_000


def noise(seed: int, size: int = SIZE) -> bytes:
    return random.Random(seed).randbytes(size)


def whole(data: bytes) -> StoredChunk:
    return StoredChunk(digest_of(data), len(data), store_chunk(data))


def changed(base: bytes, at: int, seed: int) -> tuple[bytes, StoredChunk]:
    """Change 100 bytes of a chunk; give it and its overlay."""
    data = base[:at] + noise(seed, 100) + base[at + 100 :]
    runs = [Run(0, 0, at), Run(NEW, 0, 100), Run(0, at + 100, len(base) - at - 100)]
    return data, StoredChunk(digest_of(data), len(data), encode_overlay(data, runs), (digest_of(base),))


def drifted(base: bytes, seed: int) -> tuple[bytes, StoredChunk]:
    """Add 0 or 1 to each byte of a chunk; give it and its drift."""
    draw = random.Random(seed)
    data = bytes((each + draw.getrandbits(1)) & 255 for each in base)
    stored = encode_drifted(base, data)
    assert stored is not None
    return data, StoredChunk(digest_of(data), len(data), stored, (digest_of(base),))


OLD = [noise(number) for number in range(6)]
NEW_ONES = [changed(old, 5000, 100 + number) for number, old in enumerate(OLD)]


@pytest.fixture
def remote():
    return MemoryRemote()


@pytest.fixture
def store(remote):
    """Six chunks, and of each one that has changed."""
    store = PackStore(remote)
    store.add(map(whole, OLD))
    store.add(overlay for _, overlay in NEW_ONES)
    return store


def evil(remote, *chunks: StoredChunk) -> str:
    pack, data = encode_pack(chunks)
    remote.write(f"packs/{pack}", data)
    return pack


@pytest.mark.usefixtures("store")
def test_what_rests_as_an_overlay_is_read_as_itself(remote):
    fresh = PackStore(remote)
    names = [overlay.digest for _, overlay in NEW_ONES]
    assert fresh.missing(names) == []
    for data, overlay in NEW_ONES:
        assert fresh.read_chunk(overlay.digest) == data
        stored = fresh.read_stored(overlay.digest)
        assert open_chunk(stored, overlay.digest, SIZE) == data
        assert fresh.size_of(overlay.digest) == SIZE
        assert fresh.stored_size_of(overlay.digest) >= len(stored)
        assert fresh.has(overlay.digest)
        assert fresh.holds(overlay.digest)
    mixed = [digest for old, new in zip(OLD, names, strict=True) for digest in (digest_of(old), new)]
    read = list(fresh.read_open(mixed))
    assert [digest_of(data) for _, data in read] == mixed
    assert [open_chunk(stored, name, SIZE) for (stored, _), name in zip(read, mixed, strict=True)]
    assert set(fresh.digests()) == set(mixed)
    assert sum(map(len, remote.objects.values())) < 6 * SIZE + 3000


@pytest.mark.usefixtures("store")
def test_bases_are_read_with_their_neighbours(remote):
    fresh = PackStore(remote)
    fresh.refresh()
    reads = []
    inner = remote.read
    remote.read = lambda key, **how: (reads.append(key), inner(key, **how))[1]
    wanted = [digest_of(OLD[0]), NEW_ONES[1][1].digest, digest_of(OLD[2]), NEW_ONES[3][1].digest]
    assert [digest_of(data) for _, data in fresh.read_open(wanted)] == wanted
    # one run of four in the old pack, and the overlays, which are no neighbours
    assert len(reads) == 3


@pytest.mark.usefixtures("store")
def test_overlays_do_not_go_into_a_pack_of_whole_chunks(remote):
    assert {data[-40:-36] == b"TPK1" for data in remote.objects.values()} == {True, False}
    with pytest.raises(ValueError, match="one pack"):
        encode_pack([whole(OLD[0]), NEW_ONES[0][1]])
    remote.objects.clear()
    PackStore(remote).add([NEW_ONES[0][1], whole(OLD[0]), NEW_ONES[1][1], whole(OLD[1])])
    entries = [decode_pack(data, what="x") for data in remote.objects.values()]
    assert sorted([bool(each.bases) for each in entry] for entry in entries) == [[False] * 2, [True] * 2]


def test_a_chunk_of_several_bases_is_put_together(store, remote):
    data = OLD[2][1000:9000] + b"!" + OLD[4][:500] + OLD[2][:10]
    runs = [Run(0, 1000, 8000), Run(NEW, 0, 1), Run(1, 0, 500), Run(0, 0, 10)]
    bases = (digest_of(OLD[2]), digest_of(OLD[4]))
    overlay = StoredChunk(digest_of(data), len(data), encode_overlay(data, runs), bases)
    store.add([overlay])
    assert PackStore(remote).read_chunk(overlay.digest) == data
    assert [each for _, each in PackStore(remote).read_open([overlay.digest])] == [data]


def test_a_whole_copy_is_preferred(store, remote):
    data, overlay = NEW_ONES[0]
    store.add_again([whole(data)])
    fresh = PackStore(remote)
    assert fresh.read_stored(overlay.digest) == whole(data).stored
    remote.delete(next(key for key in remote.objects if key.endswith(encode_pack([whole(data)])[0])))
    assert fresh.read_chunk(overlay.digest) == data


@pytest.mark.parametrize("ask", ["read_chunk", "read_stored", "read_open"])
def test_who_hangs_on_a_lost_or_damaged_base_is_named(remote, ask):
    _data, overlay = NEW_ONES[0]
    base_pack = evil(remote, whole(OLD[0]))
    pack = evil(remote, overlay)

    def read() -> object:
        store = PackStore(remote)
        return (
            list(store.read_open([overlay.digest]))
            if ask == "read_open"
            else getattr(store, ask)(overlay.digest)
        )

    assert read()
    spoiled = bytearray(remote.objects[f"packs/{base_pack}"])
    spoiled[6000] ^= 1
    remote.objects[f"packs/{base_pack}"] = bytes(spoiled)
    with pytest.raises(
        IntegrityError, match=f"pack {pack[:12]} .*{overlay.digest[:12]} .*pack {base_pack[:12]}"
    ):
        read()
    remote.delete(f"packs/{base_pack}")
    store = PackStore(remote)
    assert not store.has(overlay.digest)
    assert not store.holds(overlay.digest)
    assert store.missing([overlay.digest]) == [overlay.digest]
    with pytest.raises(
        IntegrityError, match=f"pack {pack[:12]} .*{digest_of(OLD[0])[:12]}, which is not there"
    ):
        read()


@pytest.mark.parametrize("ask", ["read_chunk", "read_stored", "read_open"])
def test_a_overlay_of_a_overlay_and_a_ring_of_overlays_are_refused(remote, ask):
    first, overlay = NEW_ONES[0]
    second, upon = changed(first, 9000, 7)
    pack = evil(remote, overlay, upon)
    evil(remote, whole(OLD[0]))
    store = PackStore(remote)
    assert store.read_chunk(overlay.digest) == first
    with pytest.raises(IntegrityError, match=f"pack {pack[:12]} .*which is an overlay itself"):
        list(store.read_open([upon.digest])) if ask == "read_open" else getattr(store, ask)(upon.digest)
    assert store.missing([upon.digest]) == [upon.digest]
    remote.objects.clear()
    ring = [overlay._replace(bases=(upon.digest,)), upon._replace(bases=(overlay.digest,))]
    pack = evil(remote, *ring)
    store = PackStore(remote)
    for each in ring:
        with pytest.raises(IntegrityError, match=f"pack {pack[:12]} .*which is an overlay itself"):
            list(store.read_open([each.digest])) if ask == "read_open" else getattr(store, ask)(each.digest)
    assert digest_of(second) == upon.digest


@pytest.mark.parametrize(
    ("stored", "complaint"),
    [
        (encode_overlay(NEW_ONES[0][0], [Run(0, 0, 5000), Run(NEW, 0, 15_000)])[:-1], "new bytes"),
        (b"\2\0\1" + b"\0" + (1).to_bytes(4, "big") + SIZE.to_bytes(4, "big") + b"\0", "of a base that has"),
        (
            b"\2\0\1" + b"\1" + (0).to_bytes(4, "big") + SIZE.to_bytes(4, "big") + b"\0",
            "of base 1, which cannot",
        ),
        (
            b"\2\0\1" + b"\0" + (0).to_bytes(4, "big") + SIZE.to_bytes(4, "big") + b"\0",
            "does not give the bytes",
        ),
        (whole(OLD[0]).stored, "should be an overlay"),
    ],
)
def test_a_overlay_that_lies_is_refused_and_its_pack_named(remote, stored, complaint):
    evil(remote, whole(OLD[0]))
    overlay = NEW_ONES[0][1]._replace(stored=stored)
    pack = evil(remote, overlay)
    store = PackStore(remote)
    for read in (store.read_chunk, store.read_stored, lambda digest: list(store.read_open([digest]))):
        with pytest.raises(IntegrityError, match=f"pack {pack[:12]} .*{complaint}"):
            read(overlay.digest)


def _table(
    entries: list[tuple[bytes, int, int, int, int]], bases: list[bytes], told: int | None = None
) -> bytes:
    table = b"".join(layout._OVERLAY_ENTRY.pack(*entry) for entry in entries) + b"".join(bases)
    count = len(bases) if told is None else told
    return table + layout._OVERLAY_FOOTER.pack(b"TPK2", len(entries), count, to_raw(digest_of(table)))


ME, OTHER = bytes(32), bytes([1]) * 32


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (_table([(ME, 0, 9, 9, 1)], [OTHER]), "which cannot be"),  # outside of the pack
        (b"x" * 9 + _table([(ME, 0, 9, 9, 1)], [ME]), "overlay of itself"),
        (b"x" * 9 + _table([(ME, 0, 9, 1 << 30, 1)], [OTHER]), "which cannot be"),
        (b"x" * 9 + _table([(ME, 0, 0, 9, 1)], [OTHER]), "which cannot be"),
        (b"x" * 9 + _table([(ME, 0, 9, 9, 0)], []), "does not end like a pack"),
        (b"x" * 9 + _table([(ME, 0, 9, 9, 9)], [OTHER] * 9), "does not end like a pack"),
        (b"x" * 9 + _table([(ME, 0, 9, 9, 2), (OTHER, 0, 9, 9, 0)], [OTHER] * 2), "overlay of 0 chunks"),
        (b"x" * 9 + _table([(ME, 0, 9, 9, 3), (OTHER, 0, 9, 9, 1)], [OTHER] * 2), "overlay of 3 chunks"),
        (b"x" * 9 + _table([(ME, 0, 9, 9, 1)], [OTHER] * 2), "more bases than its chunks"),
        (b"x" * 9 + _table([(ME, 0, 9, 9, 1)], [OTHER], told=0), "does not end like a pack"),
        (b"x" * 9 + _table([(ME, 0, 9, 9, 1)], [OTHER], told=1 << 31), "does not end like a pack"),
        (b"x" * 900 + _table([(ME, 0, 9, 9, 1)], [OTHER], told=2), "damaged list"),
        (_table([(ME, 0, 9, 9, 1)], [OTHER])[-42:], "does not end like a pack"),
    ],
)
def test_a_trailer_that_lies_is_refused(remote, data, complaint):
    with pytest.raises(IntegrityError, match=complaint):
        decode_pack(data, what="pack x")
    pack = digest_of(data)
    remote.write(f"packs/{pack}", data)
    store = PackStore(remote)
    assert store.missing([digest_of(b"other")])
    assert list(store.damaged_packs) == [pack]


def test_a_ref_says_that_overlays_lie_below_it_and_only_then(store):
    def index(data: bytes) -> Ref:
        entries = (file_entry(b"a", [ChunkRef(digest_of(data), len(data))]),)
        return Ref(kind="index", digest=store.put_index(Index(entries=entries)))

    store.write_ref("a/whole", index(OLD[0]))
    store.write_ref("a/overlay", index(NEW_ONES[0][0]))
    store.write_ref("a/lost", Ref(kind="index", digest=digest_of(b"gone")))
    assert (store.read_ref("a/whole").format, store.read_ref("a/overlay").format) == (1, 3)
    assert store.read_ref("a/lost").overlays
    # Brought to a store without overlays, the same Ref says no more than it must.
    other = PackStore(MemoryRemote())
    other.add([whole(NEW_ONES[0][0])])
    other.write_ref("a/overlay", store.read_ref("a/overlay"))
    assert other.read_ref("a/overlay").format == 1
    with pytest.raises(MissingObjectError):
        other.read_chunk(digest_of(OLD[0]))
