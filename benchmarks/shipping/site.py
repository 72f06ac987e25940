"""The site of `ship.py`: a folder with an artifact, as a plain file, in a registry, and its index."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.shipping.depot import CHUNK_BYTES, endless_chunk
from benchmarks.shipping.place import Plan, cut_file, index_of, stored_pieces, write_noise
from toolkit.sync.layouts.pack import StoredChunk
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.wire.digest import digest_of
from toolkit.wire.document import encode_json
from toolkit.wire.index import ChunkRef
from toolkit.wire.keyring import Keyring, TrustedKey
from toolkit.wire.manifest import Manifest, encode_manifest
from toolkit.wire.signature import seal


@dataclass(frozen=True)
class Site:
    """A folder with an artifact: as a plain file, in a registry, and its index."""

    plan: Plan
    size: int


def make_site(folder: Path, size: int, *, endless: bool = False) -> Site:
    """Write the artifact and put it into a registry; an endless one is only named."""
    folder.mkdir(parents=True)
    store = PackStore(DirectoryRemote(str(folder / "registry"), create=True))
    if endless:
        cut = index_of(
            [ChunkRef(digest_of(endless_chunk(number)), CHUNK_BYTES) for number in range(size // CHUNK_BYTES)]
        )
    else:
        write_noise(folder / "model", size)
        cut = cut_file(folder / "model")
        pieces = stored_pieces(folder / "model", cut.chunks)
        store.add(
            StoredChunk(ref.digest, ref.size, stored) for ref, stored in zip(cut.chunks, pieces, strict=True)
        )
    store.put_whole_index(cut.index)
    key = Ed25519PrivateKey.generate()
    manifest = Manifest(
        kind="model",
        name="model",
        version="v1",
        counter=1,
        index=cut.digest,
        index_bytes=len(cut.index_bytes),
        total_bytes=cut.index.total_bytes,
        chunks=len(cut.chunks),
        model_file="model.onnx",
    )
    artifact, payload = encode_manifest(manifest)
    store.put_sealed(artifact, seal(payload, "manifest", key))
    keyring = Keyring(
        keys=(TrustedKey(public=key.public_key().public_bytes_raw(), roles=("registry",), name="r"),)
    )
    (folder / "keyring.json").write_bytes(encode_json(keyring))
    (folder / "index").write_bytes(cut.index_bytes)
    (folder / "index.digest").write_text(cut.digest)
    return Site(Plan(str(folder), artifact=artifact, size=size if endless else 0), size)
