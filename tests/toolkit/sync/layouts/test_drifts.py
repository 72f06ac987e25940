"""Packs of drifts: what lies in them is found and opened, and what lies about their bases is refused by name."""

from __future__ import annotations

import pytest

from tests.contracts.remote import MemoryRemote
from tests.toolkit.sync.layouts.test_overlays import SIZE, changed, drifted, evil, noise, whole
from toolkit.errors import IntegrityError
from toolkit.sync.layouts import pack as layout
from toolkit.sync.layouts.pack import StoredChunk, decode_pack, encode_pack
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.ref import Ref
from toolkit.wire.chunk import open_chunk
from toolkit.wire.digest import digest_of, to_raw
from toolkit.wire.index import ChunkRef, Index, file_entry

OLD = [noise(number) for number in range(4)]
MADE = [drifted(old, 100 + number) for number, old in enumerate(OLD)]
CHANGED = changed(OLD[0], 5000, 9)


@pytest.fixture
def remote():
    return MemoryRemote()


@pytest.fixture
def store(remote):
    """Four chunks, of each what it drifted to, and an overlay of one."""
    store = PackStore(remote)
    store.add([MADE[0][1], CHANGED[1], *map(whole, OLD), *(drift for _, drift in MADE[1:])])
    return store


@pytest.mark.usefixtures("store")
def test_what_rests_as_a_drift_is_read_as_itself(remote):
    fresh = PackStore(remote)
    assert sorted(data[-44:-40] for data in remote.objects.values() if data[-44:-40].isalnum()) == [
        b"TPK2",
        b"TPK3",
    ]
    for data, drift in MADE:
        assert fresh.read_chunk(drift.digest) == data
        stored = fresh.read_stored(drift.digest)
        assert open_chunk(stored, drift.digest, SIZE) == data
        assert fresh.stored_size_of(drift.digest) >= len(stored)
    mixed = [CHANGED[1].digest, *(drift.digest for _, drift in MADE), *map(digest_of, OLD)]
    assert [digest_of(data) for _, data in fresh.read_open(mixed)] == mixed
    assert fresh.missing(mixed) == []


def test_a_chunk_that_comes_again_leans_on_what_lies_whole(store):
    for old, (_, drift) in zip(OLD, MADE, strict=True):
        base = digest_of(old)
        assert store.to_drift_from(to_raw(base)) == base
        assert store.to_drift_from(to_raw(drift.digest)) == base
    assert store.to_drift_from(to_raw(CHANGED[1].digest)) is None, (
        "an overlay has its bases elsewhere in the file"
    )
    assert store.to_drift_from(bytes(32)) is None


def test_drifts_go_into_packs_of_their_own():
    for others in ([whole(OLD[0])], [CHANGED[1]]):
        for mixed in ([MADE[0][1], *others], [*others, MADE[0][1]]):
            with pytest.raises(ValueError, match="one pack"):
                encode_pack(mixed)
    with pytest.raises(ValueError, match="one pack"):
        encode_pack([MADE[0][1]._replace(bases=(digest_of(OLD[0]), digest_of(OLD[1])))])


@pytest.mark.parametrize("ask", ["read_chunk", "read_stored", "read_open"])
def test_a_drift_of_a_drift_or_an_overlay_or_of_what_is_damaged_is_refused_by_name(store, remote, ask):
    def read(chunk: StoredChunk) -> object:
        fresh = PackStore(remote)
        return (
            list(fresh.read_open([chunk.digest])) if ask == "read_open" else getattr(fresh, ask)(chunk.digest)
        )

    for base in (MADE[0][0], CHANGED[0]):
        _, upon = drifted(base, 77)
        pack = evil(remote, upon)
        with pytest.raises(IntegrityError, match=f"pack {pack[:12]} .*which is an overlay itself"):
            read(upon)
        assert store.missing([upon.digest]) == [upon.digest]
    lies = MADE[1][1]._replace(stored=MADE[0][1].stored)
    remote.objects.clear()
    packs = [evil(remote, whole(OLD[1])), evil(remote, lies)]
    with pytest.raises(IntegrityError, match=f"pack {packs[1][:12]} .*does not give the bytes"):
        read(lies)
    remote.delete(f"packs/{packs[1]}")
    packs[1] = evil(remote, MADE[1][1])
    assert read(MADE[1][1])
    spoiled = bytearray(remote.objects[f"packs/{packs[0]}"])
    spoiled[6000] ^= 1
    remote.objects[f"packs/{packs[0]}"] = bytes(spoiled)
    with pytest.raises(IntegrityError, match=f"pack {packs[1][:12]} .*pack {packs[0][:12]}"):
        read(MADE[1][1])


def _pack(
    entries: list[tuple[bytes, int, int, int, int]], bases: list[bytes], told: int | None = None
) -> bytes:
    table = b"".join(layout._OVERLAY_ENTRY.pack(*entry) for entry in entries) + b"".join(bases)
    count = len(bases) if told is None else told
    return (
        b"x" * 9 + table + layout._OVERLAY_FOOTER.pack(b"TPK3", len(entries), count, to_raw(digest_of(table)))
    )


ME, OTHER = bytes(32), bytes([1]) * 32


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (_pack([(ME, 0, 9, 9, 1)], [ME]), "a drift of itself"),
        (_pack([(ME, 0, 9, 9, 2)], [OTHER, OTHER]), "does not end like a pack"),
        (_pack([(ME, 0, 9, 9, 0)], []), "does not end like a pack"),
        (_pack([(ME, 0, 9, 9, 2), (OTHER, 0, 9, 9, 0)], [OTHER] * 2), "a drift of 2 chunks"),
        (_pack([(ME, 0, 10, 9, 1)], [OTHER]), "which cannot be"),
        (_pack([(ME, 0, 9, 9, 1)], [OTHER], told=2), "does not end like a pack"),
    ],
)
def test_a_trailer_that_lies_is_refused(data, complaint):
    with pytest.raises(IntegrityError, match=complaint):
        decode_pack(data, what="pack x")


def test_a_ref_says_that_drifts_lie_below_it_and_only_then(store):
    def format_of(*datas: bytes) -> int:
        refs = [ChunkRef(digest_of(data), len(data)) for data in datas]
        digest = store.put_index(Index(entries=(file_entry(b"a", refs),)))
        store.write_ref("a", Ref(kind="index", digest=digest))
        return store.read_ref("a").format

    assert format_of(OLD[0]) == 1
    assert format_of(CHANGED[0], OLD[1]) == 3
    assert format_of(MADE[0][0], OLD[1]) == 5
    assert format_of(MADE[0][0], CHANGED[0]) == 5
    assert (store.read_ref("a").overlays, store.read_ref("a").drifts) == (True, True)
    store.add_again([whole(MADE[0][0])])
    assert format_of(MADE[0][0]) == 1
