"""Indexes, manifests and Refs of a Remote: named by what they hold, proven when they are read."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.contracts.remote import MemoryRemote
from tests.toolkit.sync.large_route import ROOT, bring, changed, held, index_of, overlays_in, pieces_of
from toolkit.errors import IntegrityError, MissingObjectError, UnsafePathError
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.ref import Ref, decode_ref, encode_ref
from toolkit.sync.remotes.encrypted import EncryptedRemote
from toolkit.wire.cipher_keys import CipherKey, CipherKeys
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef, Index, encode_index, file_entry
from toolkit.wire.manifest import Manifest, encode_manifest
from toolkit.wire.signature import seal

INDEX = Index(entries=(file_entry(b"a", [ChunkRef(digest_of(b"x"), 1)]),))
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEYS = CipherKeys((CipherKey(bytes(range(32))),))


@pytest.fixture
def documents():
    return Documents(MemoryRemote())


def manifest():
    return Manifest(
        kind="config",
        name="a",
        version="1",
        counter=1,
        index=digest_of(b""),
        index_bytes=1,
        total_bytes=1,
        chunks=1,
    )


def test_an_index_is_found_by_its_digest(documents):
    digest = documents.put_index(INDEX)
    assert documents.get_index(digest) == INDEX
    assert digest_of(documents.get_index_bytes(digest)) == digest


def test_a_damaged_index_is_refused(documents):
    digest = documents.put_index(INDEX)
    documents.remote.objects[f"indexes/{digest}"] += b"x"
    with pytest.raises(IntegrityError, match="does not hold the bytes"):
        documents.get_index(digest)


def test_an_index_that_no_reader_takes_is_not_stored(documents):
    refs = [ChunkRef(digest_of(b"x"), 1)] * 1_900_000
    with pytest.raises(IntegrityError, match="too large") as caught:
        documents.put_index(Index(entries=(file_entry(b"a", refs),)))
    assert "grid: archive" in caught.value.hint
    assert documents.remote.objects == {}


def test_a_sealed_manifest_belongs_to_its_artifact(documents):
    artifact, payload = encode_manifest(manifest())
    sealed = seal(payload, "manifest", KEY)
    documents.put_sealed(artifact, sealed)
    assert documents.get_sealed(artifact) == sealed
    other = digest_of(b"another artifact")
    with pytest.raises(IntegrityError, match="does not hold what it is named after"):
        documents.put_sealed(other, sealed)
    documents.remote.write(f"manifests/{other}", sealed)
    with pytest.raises(IntegrityError, match="does not hold what it is named after"):
        documents.get_sealed(other)
    with pytest.raises(IntegrityError, match="does not hold what it is named after"):
        documents.put_sealed(digest_of(payload), seal(payload, "desired", KEY))


def test_refs_are_written_listed_replaced_and_forgotten(documents):
    first = Ref(kind="manifest", digest=digest_of(b"1"))
    documents.write_ref("models/a/1.0", first)
    documents.write_ref("models/b/1.0", first)
    assert documents.list_refs("models/a/") == ("models/a/1.0",)
    assert documents.list_refs() == ("models/a/1.0", "models/b/1.0")
    read = documents.read_ref("models/a/1.0")
    assert (read.kind, read.digest) == ("manifest", first.digest)
    assert read.written_ms > 1_600_000_000_000
    assert not documents.write_new_ref("models/a/1.0", Ref(kind="manifest", digest=digest_of(b"2")))
    assert documents.read_ref("models/a/1.0").digest == first.digest
    assert documents.delete_ref("models/a/1.0")
    assert documents.read_ref("models/a/1.0") is None


def test_a_ref_name_that_leaves_is_refused(documents):
    with pytest.raises(UnsafePathError):
        documents.write_ref("../x", Ref(kind="index", digest=digest_of(b"")))


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b'{"kind":"index","digest":"..","format":1}', b'{"kind":"index","format":1}',
     b'{"kind":"tree","digest":"' + b"0" * 64 + b'","format":1}', b"x" * 70_000],
)  # fmt: skip
def test_a_damaged_ref_is_an_integrity_error_not_a_crash(documents, data):
    documents.remote.write("refs/routes/a/head", data)
    with pytest.raises(IntegrityError, match="routes/a/head"):
        documents.read_ref("routes/a/head")


def test_a_newer_ref_names_the_cure():
    ref = encode_ref(Ref(kind="index", digest=digest_of(b""))).replace(b'"format":1', b'"format":9')
    with pytest.raises(IntegrityError, match="format 9") as caught:
        decode_ref(ref, what="Ref x")
    assert "update tiers" in caught.value.hint


def test_what_is_not_there_is_missing(documents):
    with pytest.raises(MissingObjectError):
        documents.get_index(digest_of(b""))
    with pytest.raises(MissingObjectError):
        documents.get_sealed(digest_of(b""))


# ---------------------------------------------------------------- large files
def bytes_in(remote, prefix):
    return sum(len(data) for key, data in remote.objects.items() if key.startswith(prefix))


def test_a_change_of_a_large_file_writes_what_changed_of_its_chunk_list():
    remote, pieces = MemoryRemote(), pieces_of(1)
    bring(remote, pieces)
    first = bytes_in(remote, "indexes/")
    assert first > 2000 * 36
    for seed in range(3):
        pieces = changed(pieces, seed)
        bring(remote, pieces)
        assert held(remote) == encode_index(index_of(pieces))[0]
    assert len(overlays_in(remote)) == 3
    assert bytes_in(remote, "indexes/") - first < 3000
    assert [PackStore(remote).read_ref(f"{ROOT}/at/{n:010d}").format for n in (1, 2, 3)] == [1, 4, 4]


def test_what_an_index_rests_on_is_among_its_keys():
    remote, pieces = MemoryRemote(), pieces_of(1)
    first = bring(remote, pieces).digest
    second = bring(remote, changed(pieces, 2)).digest
    assert set(PackStore(remote).index_keys(second)) == {f"indexes/{first}", f"indexes/{second}"}
    assert set(PackStore(remote).index_keys(first)) == {f"indexes/{first}"}


def test_a_mirror_and_an_inbox_keep_indexes_whole():
    class Inbox(MemoryRemote):
        url = "mqtt://broker/tiers/1/north/d/us-001"

    old, new = index_of(pieces_of(1)), index_of(changed(pieces_of(1), 2))
    for documents in (Documents(MemoryRemote()), PackStore(Inbox())):
        like = documents.get_tree(documents.put_index(old))
        digest = documents.put_index(new, like=like)
        assert overlays_in(documents.remote) == set()
        assert digest_of(documents.remote.read(f"indexes/{digest}")) == digest


def test_a_part_of_an_index_is_laid_over_the_parts_that_had_its_paths():
    small = tuple(file_entry(b"s/%05d" % number, [ChunkRef(digest_of(b"x"), 1)]) for number in range(5000))
    store = PackStore(MemoryRemote())

    def listing(pieces):
        large = msgspec.structs.replace(index_of(pieces).entries[0], path=b"s/02500 large")
        return Index(entries=tuple(sorted((*small, large), key=lambda entry: entry.path)))

    like = store.get_tree(store.put_index(listing(pieces_of(1))))
    before = bytes_in(store.remote, "indexes/")
    new = listing(changed(pieces_of(1), 2))
    digest = store.put_index(new, like=like)
    (laid,) = overlays_in(store.remote)
    assert bytes_in(store.remote, "indexes/") - before < 3000
    fresh = PackStore(store.remote)
    assert fresh.get_index(digest) == new
    keys = set(fresh.index_keys(digest))
    assert laid in keys
    assert len(keys) == 1 + len(fresh.get_tree(digest).parts) + 1, "the root, its parts and a base"
    assert fresh.as_written(Ref(kind="index", digest=digest)).index_overlays
    (base,) = keys - {
        f"indexes/{digest}",
        *(f"indexes/{part.digest.hex()}" for part in new_parts(fresh, digest)),
    }
    del store.remote.objects[base]  # as a collection may leave it when nothing needs the part
    assert PackStore(store.remote).put_index(new) == digest
    assert PackStore(store.remote).get_index(digest) == new


def new_parts(store, digest):
    return store.get_tree(digest).parts


def test_a_large_file_that_was_renamed_is_laid_over_its_old_name():
    store, pieces = PackStore(MemoryRemote()), pieces_of(1)
    like = store.get_tree(store.put_index(index_of(pieces)))
    renamed = Index(entries=(msgspec.structs.replace(index_of(pieces).entries[0], path=b"another name"),))
    digest = store.put_index(renamed, like=like)
    assert overlays_in(store.remote) == {f"indexes/{digest}"}
    assert store.get_index(digest) == renamed


def test_a_state_that_was_laid_over_an_older_one_is_encrypted_like_all_else():
    inner, pieces = MemoryRemote(), pieces_of(1)
    remote = EncryptedRemote(inner, KEYS)
    bring(remote, pieces)
    before = bytes_in(inner, "indexes/")
    bring(remote, changed(pieces, 2))
    assert len(overlays_in(remote)) == 1
    assert held(remote) == encode_index(index_of(changed(pieces, 2)))[0]
    assert bytes_in(inner, "indexes/") - before < 3000


def test_who_does_not_know_overlays_of_indexes_stops_at_the_number():
    data = encode_ref(Ref(kind="index", digest=digest_of(b""), index_overlays=True))
    assert b'"format":4' in data
    assert decode_ref(data, what="x").index_overlays
    assert b'"format":3' in encode_ref(Ref(kind="index", digest=digest_of(b""), overlays=True))
