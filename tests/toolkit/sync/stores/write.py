"""Write the stores that must stay readable for ever. One that is there is never written again.

Run by hand in the repository: `.venv/bin/python -m tests.toolkit.sync.stores.write`. Beside each store its trees, as
text taken from the folders that were sent, are written; tests/toolkit/sync/test_stores.py restores and compares.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.toolkit.sync.disks import ACL, write_sparse
from tests.toolkit.sync.stores.listing import as_text, listing
from toolkit.sync.delta.drift import encode_drifted
from toolkit.sync.folder import Folder
from toolkit.sync.layouts.pack import StoredChunk
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.run import run_task
from toolkit.sync.scan import scan
from toolkit.sync.task import Storage, SyncTask
from toolkit.wire.chunk import store_chunk
from toolkit.wire.digest import Digest, digest_of, from_raw, to_raw
from toolkit.wire.document import encode_msgpack
from toolkit.wire.index import ChunkRef, Entry, Index, encode_index, file_entry
from toolkit.wire.index_overlay import IndexOverlay, Shared, encode_index_overlay
from toolkit.wire.manifest import Manifest, encode_manifest
from toolkit.wire.overlay import NEW, Run, encode_overlay
from toolkit.wire.signature import seal
from toolkit.wire.tree import Root, describe, tree_of

HERE = Path(__file__).parent
WHEN = 1_700_000_000_123_456_789
PUBLIC_TEST_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class Writer:
    """A store being written, and the trees that its Refs name."""

    def __init__(self, store: Path, source: Path) -> None:
        self.source = source
        self.place = Storage(tier="cold", url=store.as_uri(), layout="packs")
        self.store = PackStore(DirectoryRemote(str(store)))
        self.trees: dict[str, str] = {}

    def send(self, route: str, path: str, **fields: object) -> None:
        """Send a folder as a new state of a route."""
        folder = self.source / path / str(fields.get("origin", ""))
        settle(folder)
        edge = Storage(tier="edge", url=self.source.as_uri())
        result = run_task(SyncTask(route=route, source=edge, targets=(self.place,), path=path, **fields))
        assert result.exit_code == 0, result
        root = f"routes/{route}" + (f"/from/{fields['origin']}" if "origin" in fields else "")
        self.saw(f"{root}/head", self.source / path)
        self.saw(self.store.list_refs(f"{root}/at/")[-1], self.source / path)

    def saw(self, ref: str, folder: Path) -> None:
        """Note what a Ref names."""
        self.trees[ref] = listing(folder)


def settle(folder: Path) -> None:
    """Give what has no time of its own one that is the same each time, folders last."""
    for path in sorted(
        folder.rglob("*"), key=lambda path: (path.is_dir() and not path.is_symlink(), -len(path.parts))
    ):
        if path.lstat().st_mtime_ns > WHEN + 10**18 // 50 or path.is_dir():
            os.utime(path, ns=(WHEN, WHEN + len(path.name)), follow_symlinks=False)
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def put(path: Path, data: bytes, mode: int = 0o644, mtime_ns: int | None = None) -> None:
    """Write a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    if mtime_ns is not None:
        os.utime(path, ns=(0, mtime_ns))


def text(draw: random.Random, size: int) -> bytes:
    """Bytes that can be compressed."""
    words = [draw.randbytes(draw.randrange(2, 9)).hex().encode() for _ in range(60)]
    return b" ".join(draw.choice(words) for _ in range(size // 8))[:size]


def store_1(to: Writer) -> None:
    """Format 1 of index, Ref and pack: a history of a route, one by machine, one in large chunks, and a model."""
    draw = random.Random(1)
    frames = to.source / "frames"
    noise, words = draw.randbytes(22_000), text(draw, 90_000)
    put(frames / "noise", noise)
    put(frames / "words.txt", words, 0o640)
    put(frames / "copy of words.txt", words, 0o400)
    put(frames / "empty", b"", 0o777)
    put(frames / "one", b"1", 0o600, mtime_ns=-1)
    put(frames / "before 1970", b"old", mtime_ns=-1_000_000_000_000_000_001)
    put(frames / "at zero", b"zero", mtime_ns=0)
    put(frames / "small number", b"127", mtime_ns=127)
    put(frames / "zeros", bytes(700_000))
    put(frames / ("long " * 50) / ("name " * 48) / "file", b"a path of more than 255 bytes")
    put(Path(os.fsdecode(os.fsencode(frames) + b"/not UTF-8 \xff\xfe")), b"name")
    put(frames / "new\nline \\ and \u00e9", b"name")
    for number in range(20):
        put(frames / f"series/{number:02d}.txt", text(draw, 300 * number))
    (frames / "an empty folder").mkdir()
    (frames / "link").symlink_to("words.txt")
    (frames / "link to nowhere").symlink_to("../../nowhere/\u00fc")
    to.send("frames", "frames", grid="scattered")
    put(frames / "words.txt", words[:50_000] + b"an insert" + words[50_000:], 0o640)
    shutil.rmtree(frames / "series")
    put(frames / "series", b"a file now")
    to.send("frames", "frames", grid="scattered")
    (frames / "noise").unlink()
    (frames / "link").unlink()
    put(frames / "link/is a folder/now", noise[5_000:])
    to.send("frames", "frames", grid="scattered")
    put(to.source / "studies/scan.dcm", words[:30_000] + noise[:2000], 0o440)
    to.send("archive", "studies", grid="archive")
    put(to.source / "records/device-7/notes.csv", words[:5000])
    to.send("records", "records/device-7")
    _model(to, {b"golden.npz": words[:3000], b"model.onnx": noise[:9000] + words[:30_000]})


def _model(to: Writer, files: dict[bytes, bytes]) -> None:
    """A Ref to a sealed manifest; artifacts have times of 0 and mode 0644."""
    chunks = {
        path: [data[at : at + 20_000] for at in range(0, len(data), 20_000)] for path, data in files.items()
    }
    to.store.add(
        StoredChunk(digest_of(each), len(each), store_chunk(each))
        for pieces in chunks.values()
        for each in pieces
    )
    entries = tuple(
        file_entry(path, [ChunkRef(digest_of(each), len(each)) for each in pieces])
        for path, pieces in chunks.items()
    )
    digest, data = encode_index(Index(entries=entries))
    to.store.remote.write(f"indexes/{digest}", data)
    artifact, payload = encode_manifest(
        Manifest(
            kind="config", name="digits", version="1.0.0", counter=1, index=digest, index_bytes=len(data),
            total_bytes=sum(map(len, files.values())), chunks=len(set().union(*chunks.values())),
        )
    )  # fmt: skip
    to.store.put_sealed(artifact, seal(payload, "manifest", PUBLIC_TEST_KEY))
    to.store.write_ref("models/digits/1.0.0", Ref(kind="manifest", digest=artifact))
    folder = to.source / "model"
    for path, content in files.items():
        put(folder / path.decode(), content, mtime_ns=0)
    to.saw("models/digits/1.0.0", folder)


def store_2(to: Writer) -> None:
    """Format 2: hard links, attributes, ACLs and holes; an index in parts; a Ref that ends by itself."""
    draw = random.Random(2)
    kept = to.source / "kept"
    put(kept / "sub/first", draw.randbytes(30_000), 0o640)
    os.setxattr(kept / "sub/first", "user.patient", b"\x00\xff" * 20)
    os.setxattr(kept / "sub/first", "user.empty", b"")
    os.setxattr(kept / "sub/first", "system.posix_acl_access", ACL)
    (kept / "a name").hardlink_to(kept / "sub/first")
    (kept / "z").hardlink_to(kept / "sub/first")
    os.setxattr(kept / "sub", "user.kind", b"study")
    os.setxattr(kept / "sub", "system.posix_acl_default", ACL)
    write_sparse(kept / "sparse", 5_000_000, (2_000_000, draw.randbytes(4096)), (4_999_999, b"!"))
    write_sparse(kept / "only a hole", 1_000_000)
    put(kept / "plain", text(draw, 9000))
    (kept / "link").symlink_to("z")
    to.send("kept", "kept")
    (kept / "a name").unlink()
    to.send("kept", "kept")
    many = to.source / "many"
    for number in range(4100):
        put(many / f"{number * 7919 % 65536:04x}", b"", mtime_ns=0)
    put(many / "last", b"not empty", mtime_ns=0)
    settle(many)
    data = b"not empty"
    to.store.add([StoredChunk(digest_of(data), len(data), store_chunk(data))])
    tree = tree_of(scan(Folder(str(to.source)), b"many").index.entries)
    assert len(tree.parts) > 1
    for part in tree.parts:
        name = from_raw(part.digest)
        to.store.remote.write(f"indexes/{name}", tree.load(name))
    digest, root = tree.root()
    to.store.remote.write(f"indexes/{digest}", root)
    ref = Ref(kind="index", digest=digest, path="many", sequence=1, until_ms=4_102_444_800_000, note="a note")
    to.store.write_ref("routes/many/head", ref)
    to.saw("routes/many/head", many)


def store_3(to: Writer) -> None:
    """Pack 2 and Ref 3: chunks that rest as overlays of one and of two bases; a route beside it without any."""
    draw = random.Random(3)
    weights, words = to.source / "weights", text(draw, 40_000)
    one, two = draw.randbytes(30_000), words[:35_000]
    put(weights / "layer.bin", one + two)
    put(to.source / "notes/words.txt", words)
    changed = one[:8192] + draw.randbytes(4096) + one[12_288:]
    joined = one[20_000:] + b"between" + two[:10_000] + words[:3000]
    runs = [Run(0, 0, 8192), Run(NEW, 0, 4096), Run(0, 12_288, 17_712)]
    both = [Run(0, 20_000, 10_000), Run(NEW, 0, 7), Run(1, 0, 10_000), Run(NEW, 0, 3000)]
    bases = (digest_of(one), digest_of(two))
    to.store.add(StoredChunk(digest_of(each), len(each), store_chunk(each)) for each in (one, two))
    to.store.add(
        [
            StoredChunk(digest_of(changed), len(changed), encode_overlay(changed, runs), bases[:1]),
            StoredChunk(digest_of(joined), len(joined), encode_overlay(joined, both), bases),
        ]
    )
    for number, pieces in enumerate(((one, two), (changed, two, joined)), start=1):
        put(weights / "layer.bin", b"".join(pieces))
        os.utime(weights / "layer.bin", ns=(WHEN, WHEN + number))
        refs = [ChunkRef(digest_of(each), len(each)) for each in pieces]
        entry = file_entry(b"layer.bin", refs, mtime_ns=WHEN + number)
        ref = Ref(
            kind="index", digest=to.store.put_index(Index(entries=(entry,))), path="weights", sequence=number,
            written_ms=WHEN // 1_000_000,
        )  # fmt: skip
        for name in (f"routes/weights/at/{number:010d}", "routes/weights/head"):
            to.store.write_ref(name, ref)
            to.saw(name, weights)
    to.send("notes", "notes")


def store_4(to: Writer) -> None:
    """Index overlay 1 and Ref 4: whole indexes on one base and on two, a part on a part; a Ref 1 beside them."""
    draw = random.Random(4)
    pieces = [draw.randbytes(300 + number) for number in range(12)]
    to.store.add(StoredChunk(digest_of(each), len(each), store_chunk(each)) for each in pieces)

    def state(route: str, sequence: int, digest: Digest, *, over: bool) -> None:
        ref = Ref(
            kind="index", digest=digest, path=route, sequence=sequence, written_ms=WHEN // 1_000_000,
            index_overlays=over,
        )  # fmt: skip
        for name in (f"routes/{route}/at/{sequence:010d}", f"routes/{route}/head"):
            to.store.write_ref(name, ref)
            to.saw(name, to.source / route)

    def file(path: str, *numbers: int) -> Entry:
        refs = [ChunkRef(digest_of(pieces[each]), len(pieces[each])) for each in numbers]
        place = to.source / path
        put(place, b"".join(pieces[each] for each in numbers), mtime_ns=WHEN + len(numbers))
        return file_entry(place.name.encode(), refs, mtime_ns=WHEN + len(numbers))

    def store(*entries: Entry, over: tuple[bytes, ...] = ()) -> tuple[Digest, bytes]:
        digest, data = encode_index(Index(entries=entries))
        to.store.remote.write(f"indexes/{digest}", _laid_over(data, over) if over else data)
        return digest, data

    other, second = store(file("other/file", 9, 10, 11))
    state("other", 1, other, over=False)
    digest, first = store(file("large/file", *range(10)))
    state("large", 1, digest, over=False)
    state("large", 2, store(file("large/file", *range(5), *range(6, 10)), over=(first,))[0], over=True)
    mixed = (*range(5), 9, 10, 11, *range(7, 10))
    state("large", 3, store(file("large/file", *mixed), over=(first, second))[0], over=True)

    def tree(*parts: tuple[Digest, tuple[Entry, ...]]) -> Digest:
        root = encode_msgpack(Root(parts=tuple(describe(to_raw(name), entries) for name, entries in parts)))
        to.store.remote.write(f"indexes/{digest_of(root)}", root)
        return digest_of(root)

    few, many = (file("parts/a", 0), file("parts/b", 1)), (file("parts/m", *range(10)), file("parts/z", 2))
    (low, _), (high, data) = store(*few), store(*many)
    state("parts", 1, tree((low, few), (high, many)), over=False)
    many = (file("parts/m", *range(9)), many[1])
    state("parts", 2, tree((low, few), (store(*many, over=(data,))[0], many)), over=True)


def _laid_over(data: bytes, bases: tuple[bytes, ...]) -> bytes:
    """Lay a document over others, 12 bytes at a time where one of them has those."""
    runs: list[bytes | Shared] = []
    for at in range(0, len(data), 12):
        part = data[at : at + 12]
        number = next((each for each, base in enumerate(bases) if part in base), None)
        run = part if number is None else Shared(number, bases[number].index(part), len(part))
        last = runs[-1] if runs else None
        if isinstance(last, Shared) and isinstance(run, Shared) and _follows(last, run):
            runs[-1] = Shared(last.base, last.start, last.length + run.length)
        else:
            runs.append(run)
    digests = tuple(to_raw(digest_of(base)) for base in bases)
    return encode_index_overlay(IndexOverlay(bases=digests, runs=tuple(runs)))


def _follows(last: Shared, run: Shared) -> bool:
    return (last.base, last.start + last.length) == (run.base, run.start)


def store_5(to: Writer) -> None:
    """Pack 3 and Ref 5: a chunk of 2-byte floats and one of bytes that have drifted, the first behind odd bytes."""
    draw = random.Random(5)
    weights = to.source / "weights"
    numbers = [draw.gauss(0, 0.05) for _ in range(12_000)]
    bits = [draw.getrandbits(8) for _ in range(20_000)]
    states = []
    for _ in range(3):
        states.append((b"odd" + struct.pack("<12000e", *numbers) + b"end", bytes(bits)))
        numbers = [number * draw.gauss(1, 1e-3) for number in numbers]
        bits = [(bit + draw.getrandbits(1)) & 255 for bit in bits]
    put(to.source / "notes/words.txt", text(draw, 40_000))
    to.store.add(StoredChunk(digest_of(each), len(each), store_chunk(each)) for each in states[0])
    for number, pieces in enumerate(states, start=1):
        if number > 1:
            to.store.add(
                StoredChunk(digest_of(each), len(each), encode_drifted(base, each) or b"", (digest_of(base),))
                for base, each in zip(states[0], pieces, strict=True)
            )
        put(weights / "layer.bin", b"".join(pieces))
        os.utime(weights / "layer.bin", ns=(WHEN, WHEN + number))
        refs = [ChunkRef(digest_of(each), len(each)) for each in pieces]
        entry = file_entry(b"layer.bin", refs, mtime_ns=WHEN + number)
        ref = Ref(
            kind="index", digest=to.store.put_index(Index(entries=(entry,))), path="weights", sequence=number,
            written_ms=WHEN // 1_000_000,
        )  # fmt: skip
        for name in (f"routes/weights/at/{number:010d}", "routes/weights/head"):
            to.store.write_ref(name, ref)
            to.saw(name, weights)
    to.send("notes", "notes")


def main() -> None:
    """Write the stores that are not there."""
    stores: dict[str, Callable[[Writer], None]] = {
        "STORE-1": store_1,
        "STORE-2": store_2,
        "STORE-3": store_3,
        "STORE-4": store_4,
        "STORE-5": store_5,
    }
    for name, fill in stores.items():
        to = HERE / name
        if to.exists():
            print(f"{name} stays")
            continue
        to.mkdir()
        with tempfile.TemporaryDirectory() as scratch:
            writer = Writer(to, Path(scratch))
            fill(writer)
        for empty in (".incoming", "pending"):
            shutil.rmtree(to / empty, ignore_errors=True)
        (HERE / f"{name}.txt").write_text(as_text(writer.trees))
        print(f"{name} written")


if __name__ == "__main__":
    main()
