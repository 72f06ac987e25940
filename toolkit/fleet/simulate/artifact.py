"""Versions of a model that nobody computes: signed artifacts of random bytes, for rehearsals of the way to the devices.

Pushed as `registry.push` does it (chunks, index, sealed manifest, Ref), without the look into an ONNX file. Each
version shares most of its bytes with the one before, so that devices seed from what they have.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.registry.catalogue import ref_name
from toolkit.sync.layouts.pack import StoredChunk
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.ref import Ref
from toolkit.wire.chunk import Cutter, grid_for, store_chunk
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.index import ChunkRef, Index, distinct_chunks, encode_index, file_entry
from toolkit.wire.manifest import Manifest, Requires, encode_manifest
from toolkit.wire.signature import seal

MODEL_FILE = "model.onnx"
CHANGED = 0.25
"""Part of a version that the one before does not have."""


def content_of(size: int, seed: int, counter: int) -> bytes:
    """Give the bytes of a version: those of all versions, and at the end its own quarter."""
    own = int(size * CHANGED)
    shared = random.Random(seed).randbytes(size - own)  # noqa: S311  # a filling, not a secret
    return shared + random.Random(f"{seed}/{counter}").randbytes(own)  # noqa: S311


def lay_in(
    store: PackStore, key: Ed25519PrivateKey, name: str, version: str, *, counter: int, content: bytes
) -> Digest:
    """Put a version into a registry and give its artifact id. Repeating it is harmless.

    Raises:
        RegistryError: name or version has characters that are not allowed.
        RemoteUnavailableError: the registry is full or does not answer.
    """
    named = ref_name(name, version)
    pieces = list(_pieces(content))
    index = Index(entries=(file_entry(MODEL_FILE.encode(), [ref for ref, _ in pieces]),))
    digest, data = encode_index(index)
    store.add(StoredChunk(ref.digest, ref.size, store_chunk(piece)) for ref, piece in pieces)
    store.put_whole_index(index)
    manifest = Manifest(
        kind="model",
        name=name,
        version=version,
        counter=counter,
        index=digest,
        index_bytes=len(data),
        total_bytes=index.total_bytes,
        chunks=len(distinct_chunks(index)),
        model_file=MODEL_FILE,
        requires=Requires(disk_bytes=index.total_bytes),
    )
    artifact, payload = encode_manifest(manifest)
    store.put_sealed(artifact, seal(payload, "manifest", key))
    store.write_new_ref(named, Ref(kind="manifest", digest=artifact))
    return artifact


def _pieces(content: bytes) -> Iterator[tuple[ChunkRef, bytes]]:
    cutter = Cutter(grid_for("artifact", len(content)))
    for piece in (*cutter.feed(content), *cutter.finish()):
        yield ChunkRef(digest_of(piece), len(piece)), bytes(piece)
