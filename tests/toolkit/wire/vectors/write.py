"""Write the test vectors of format 1. A file that is there is never written again: old vectors stay.

Data comes from BLAKE3's extendable output, so that anybody can make the same bytes in any language.
Run by hand: `.venv/bin/python tests/toolkit/wire/vectors/write.py`; the tests read what lies here.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.wire.chunk import ARCHIVE, ARTIFACT, LARGE_ARTIFACT, Grid, cut, grid_for, store_chunk
from toolkit.wire.cipher import encrypt_object
from toolkit.wire.cipher_keys import CipherKey, encode_key
from toolkit.wire.cipher_names import CipherNames
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef, Entry, Index, encode_index, file_entry
from toolkit.wire.manifest import Golden, Lineage, Manifest, Requires, encode_manifest
from toolkit.wire.signature import seal

HERE = Path(__file__).parent
GRIDS: dict[str, Grid] = {"artifact": ARTIFACT, "large": LARGE_ARTIFACT, "archive": ARCHIVE}
SIZES = {"artifact": 1 << 20, "large": 4 << 20, "archive": 16 << 20}
SEED = bytes(range(32))
"""Of the Ed25519 key that seals the vector; a public test key."""


def data(kind: str, size: int) -> bytes:
    """Make the bytes of a case."""
    if kind == "zeros":
        return bytes(size)
    stream = blake3(f"tiers vector {kind}".encode()).digest(length=size)
    if kind == "random":
        return stream
    # text: words of 1 to 8 lower-case letters, one byte of the stream a letter or a space
    return bytes(97 + byte % 26 if byte < 216 else 32 for byte in stream)


def cuts() -> dict[str, object]:
    """Lengths and digests of the pieces of each case."""
    cases: dict[str, object] = {}
    for grid, size in SIZES.items():
        for kind in ("random", "text", "zeros"):
            pieces = cut(data(kind, size), GRIDS[grid])
            cases[f"{grid}/{kind}"] = {
                "lengths": [len(piece) for piece in pieces],
                "digests": digest_of("".join(digest_of(piece) for piece in pieces).encode()),
                "first": digest_of(pieces[0]),
            }
    return cases


def grids() -> list[dict[str, object]]:
    """Which grid files get, by kind, size and name."""
    names = (
        "",
        "a",
        "scan.dcm",
        "w.safetensors",
        "W.PT",
        "model.bin",
        "pt",
        "a.pt.txt",
        "x.zip",
        "image.nii.gz",
    )
    return [
        {"kind": kind, "size": size, "name": name, "middle": grid_for(kind, size, name.encode()).average}
        for kind in ("artifact", "data", "scattered", "archive")
        for size in (1, 64 << 20, (64 << 20) + 1)
        for name in names
    ]


def index() -> Index:
    """An index with each kind of entry and a name that is not UTF-8."""
    small, large = data("text", 5000), data("random", 60000)
    refs = (ChunkRef(digest_of(small), len(small)), ChunkRef(digest_of(large), len(large)))
    return Index(
        entries=(
            file_entry(b"a.txt", refs[:1], mtime_ns=1_700_000_000_123_456_789),
            Entry(b"empty", "folder", 0, 0o755, 0),
            Entry(b"link", "link", 0, 0o777, 0, b"", b"../elsewhere"),
            file_entry(b"nothing", ()),
            file_entry(b"\xff\xfe name", refs, mode=0o600),
        )
    )


def manifest() -> Manifest:
    """A manifest with every field set."""
    digest, encoded = encode_index(index())
    return Manifest(
        kind="model", name="digits", version="1.0.0", counter=3, floor=1, index=digest,
        index_bytes=len(encoded), total_bytes=70000, chunks=2, model_file="a.txt",
        requires=Requires(architectures=("x86_64",), onnx_ir=10, opset=20, memory_bytes=1, disk_bytes=2),
        golden=Golden(file="a.txt", min_accuracy=0.9),
        lineage=Lineage(parent="digits@0.9.0", made_by="tests", metrics={"accuracy": 0.97}),
    )  # fmt: skip


def cipher() -> dict[str, object]:
    """Encrypted names, and encrypted objects: small ones whole, others as the digest of their bytes."""
    key, salt = CipherKey(SEED), bytes(range(32, 64))
    names = (
        "a",
        "packs/" + digest_of(b"a pack"),
        "refs/routes/frames/from/endo-01/head",
        "refs/" + "n" * 200,
    )
    objects: list[dict[str, object]] = []
    for name, size in (
        ("refs/a", 0),
        ("refs/a", 20),
        ("packs/b", 65536),
        ("packs/b", 65537),
        ("packs/b", 200000),
    ):
        sealed = encrypt_object(data("random", size), key, name, salt)
        case: dict[str, object] = {"name": name, "size": size, "digest": digest_of(sealed)}
        if size < 100:
            case["sealed"] = base64.b64encode(sealed).decode()
        objects.append(case)
    return {
        "key": encode_key(key),
        "salt": salt.hex(),
        "names": {name: CipherNames(key).encrypt(name) for name in names},
        "objects": objects,
    }


def main() -> None:
    """Write the files that are not there."""
    compressible = data("text", 5000)
    stored = {
        "raw": {"size": 1500, "stored": base64.b64encode(store_chunk(data("random", 1500))).decode()},
        "zstd": {"size": 5000, "stored": base64.b64encode(store_chunk(compressible)).decode()},
    }
    index_digest, index_bytes = encode_index(index())
    artifact, manifest_bytes = encode_manifest(manifest())
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    sealed = seal(manifest_bytes, "manifest", key)
    files = {
        "cuts-1.json": json.dumps(cuts(), indent=0).encode(),
        "grids-1.json": json.dumps(grids(), indent=0).encode(),
        "stored-1.json": json.dumps(stored).encode(),
        "index-1.json": json.dumps(
            {"digest": index_digest, "bytes": base64.b64encode(index_bytes).decode()}
        ).encode(),
        "cipher-1.json": json.dumps(cipher(), indent=1).encode(),
        "sealed-1.json": json.dumps(
            {
                "artifact": artifact,
                "public": base64.b64encode(key.public_key().public_bytes_raw()).decode(),
                "sealed": sealed.decode(),
            }
        ).encode(),
    }
    for name, content in files.items():
        path = HERE / name
        if path.exists():
            print(f"{name} stays")
        else:
            path.write_bytes(content + b"\n")
            print(f"{name} written")


if __name__ == "__main__":
    main()
