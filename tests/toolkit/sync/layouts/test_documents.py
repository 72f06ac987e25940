"""Indexes, manifests and Refs of a Remote: named by what they hold, proven when they are read."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.contracts.remote import MemoryRemote
from toolkit.errors import IntegrityError, MissingObjectError, UnsafePathError
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.ref import Ref, decode_ref, encode_ref
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef, Index, file_entry
from toolkit.wire.manifest import Manifest, encode_manifest
from toolkit.wire.signature import seal

INDEX = Index(entries=(file_entry(b"a", [ChunkRef(digest_of(b"x"), 1)]),))
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


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
    ref = encode_ref(Ref(kind="index", digest=digest_of(b""))).replace(b'"format":1', b'"format":2')
    with pytest.raises(IntegrityError, match="format 2") as caught:
        decode_ref(ref, what="Ref x")
    assert "update tiers" in caught.value.hint


def test_what_is_not_there_is_missing(documents):
    with pytest.raises(MissingObjectError):
        documents.get_index(digest_of(b""))
    with pytest.raises(MissingObjectError):
        documents.get_sealed(digest_of(b""))
