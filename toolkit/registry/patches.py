"""Make patches to a version that is being pushed, from the versions that devices may have, where that pays.

`push` asks for them after the chunks of the version are stored and before its manifest is sealed, because that manifest
names them. For each of the last versions: what would a device fetch that takes the chunks it lacks, and what if it took
a patch? The smaller wins, by a margin. A patch is replayed here, with the code that devices run, before it is stored;
then it is an artifact like others (chunks, index, sealed manifest) that the depot serves and that nothing but the
version's manifest names.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.errors import IntegrityError, TiersError
from toolkit.registry.pieces import new_chunks, pieces_of
from toolkit.registry.tensor_maps import tensors_of
from toolkit.sync.delta.encode import Change, encode_patch, equal_runs
from toolkit.sync.delta.planes import is_possible
from toolkit.sync.delta.replay import PatchStream, cut_by, is_right, replay
from toolkit.sync.delta.tensors import pair_tensors
from toolkit.sync.layouts.packs import PackStore
from toolkit.wire.chunk import store_chunk
from toolkit.wire.delta import PATCH_FILE, PatchHead, Plain, Planes, Prefix, stored_bytes
from toolkit.wire.digest import Digest
from toolkit.wire.index import ChunkRef, Entry, Index, distinct_chunks, encode_index, file_entry
from toolkit.wire.manifest import Lineage, Makes, Manifest, Patch, encode_manifest
from toolkit.wire.signature import seal

Way = Literal["chunks", "planes", "patch-from", "copies"]
WINS_BY: Final = 0.9
"""A patch is published only if it takes at most this share of what its chunks would take."""
WORTH_BYTES: Final = 32 * 1024
"""Where less than this is missing there is nothing to gain."""


@dataclass(frozen=True)
class PatchRules:
    """How much is tried."""

    versions: int = 2
    """From so many versions before this one; 0 makes none."""
    seconds: float = 600.0
    """Longest that one patch may take."""
    max_bytes: int = 8 * 1024**3
    """Largest version, in bytes of its files, that is compared."""
    told: Callable[[int], None] = lambda _: None
    """Called with bytes of the version that have been compared since the last call."""


@dataclass(frozen=True)
class Earlier:
    """A version that devices may have."""

    version: str
    artifact: Digest
    manifest: Manifest


@dataclass(frozen=True)
class Shipment:
    """What a device fetches that has one of the earlier versions. Bytes are stored ones: what travels."""

    from_version: str
    way: Way
    """`chunks`: those that it lacks; else a patch, named after what most of its bytes are."""
    bytes: int
    share: float
    """Of what a device fetches that has nothing."""
    chunk_bytes: int
    """What the chunks take that it lacks."""
    patch_bytes: int = 0
    """What a patch takes; 0 when none was made."""
    note: str = ""
    """Why no patch was made, or not published."""


@dataclass(frozen=True)
class Target:
    """The version that is being pushed; its chunks are stored already."""

    name: str
    version: str
    counter: int
    index: Index
    files: tuple[tuple[str, Path], ...]


def make_patches(
    store: PackStore, target: Target, earlier: Sequence[Earlier], key: Ed25519PrivateKey, rules: PatchRules
) -> tuple[tuple[Patch, ...], tuple[Shipment, ...]]:
    """Make and store the patches that pay; also say how each earlier version gets to this one.

    A patch that cannot be made (an older version is damaged, it takes too long) is no error: its line says why.

    Raises:
        RemoteUnavailableError: the registry is full or does not answer.
        OSError: there is no room for temporary files.
    """
    full = _stored(store, distinct_chunks(target.index))
    patches: list[Patch] = []
    shipments: list[Shipment] = []
    for each in earlier[: rules.versions]:
        patch, shipment = _ship(store, target, each, key, rules, full)
        patches += [patch] if patch is not None else []
        shipments.append(shipment)
    return tuple(patches), tuple(shipments)


def _ship(
    store: PackStore, target: Target, base: Earlier, key: Ed25519PrivateKey, rules: PatchRules, full: int
) -> tuple[Patch | None, Shipment]:
    lacking = full
    try:
        index = store.get_index(base.manifest.index)
        held = {ref.digest for ref in distinct_chunks(index)}
        lacking = _stored(store, [ref for ref in distinct_chunks(target.index) if ref.digest not in held])
        if lacking < WORTH_BYTES:
            return None, _by_chunks(base, lacking, full)
        if max(target.index.total_bytes, index.total_bytes) > rules.max_bytes:
            return None, _by_chunks(base, lacking, full, note="too large to compare")
        with tempfile.TemporaryDirectory(prefix="tiers-patch-") as folder:
            made, way = _compare(store, target, index, Path(folder), rules)
            return _publish(store, target, base, key, _Made(made, way, lacking, full))
    except _TooLongError:
        note = f"comparing took longer than {rules.seconds:g} s"
    except IntegrityError as error:
        note = error.message
    return None, _by_chunks(base, lacking, full, note=note)


class _TooLongError(TiersError):
    """The time for a patch is over."""


@dataclass(frozen=True)
class _Made:
    """A patch that has been proven, and what it is measured by."""

    patch: Path
    way: Way
    lacking: int
    full: int


def _compare(
    store: PackStore, target: Target, base: Index, folder: Path, rules: PatchRules
) -> tuple[Path, Way]:
    """Make a patch in a temporary folder and prove it."""
    ends = time.monotonic() + rules.seconds

    def told(done: int) -> None:
        rules.told(done)
        if time.monotonic() > ends:
            raise _TooLongError("too long")

    before = {entry.path: entry for entry in base.entries if entry.kind == "file"}
    after = {entry.path: entry for entry in target.index.entries}
    changes: list[Change] = []
    for name, file in target.files:
        path = name.encode()
        old = before.get(path)
        if old is None:
            changes.append(Change(path, file))
            continue
        laid = folder / f"base-{len(changes)}"
        with laid.open("wb") as out:
            out.writelines(store.read_chunk(ref.digest) for ref in old.refs())
        pairs = pair_tensors(tensors_of(laid), tensors_of(file))
        changes.append(Change(path, file, path, laid, pairs, equal_runs(old.refs(), after[path].refs())))
    head = encode_patch(changes, folder / "patch", told=told)
    _prove(folder / "patch", {each.base_path: each.base for each in changes if each.base}, after, told)
    return folder / "patch", _way(head)


def _prove(
    patch: Path, base: dict[bytes, Path], target: dict[bytes, Entry], told: Callable[[int], None]
) -> None:
    """Replay a patch as a device does and compare every chunk.

    Raises:
        IntegrityError: it does not make the target.
    """

    def read_base(path: bytes, offset: int, length: int) -> bytes:
        with base[path].open("rb") as file:
            file.seek(offset)
            return file.read(length)

    with patch.open("rb") as stream:
        source = PatchStream(iter(lambda: stream.read(1 << 20), b""))
        head = source.head(patch.stat().st_size)
        for file in head.files:
            for ref, data in cut_by(target[file.path].refs(), replay(file, source, read_base)):
                told(0)
                if not is_right(ref, data):
                    raise IntegrityError("the patch does not make this version; it is not published")
    if {file.path for file in head.files} != set(target):
        raise IntegrityError("the patch does not make all files of this version; it is not published")


def _publish(
    store: PackStore, target: Target, base: Earlier, key: Ed25519PrivateKey, made: _Made
) -> tuple[Patch | None, Shipment]:
    refs: dict[Digest, int] = {}
    entry = file_entry(PATCH_FILE.encode(), _named(made.patch, refs))
    index = Index(entries=(entry,))
    digest, data = encode_index(index)
    size = sum(refs.values()) + len(data)
    if size > WINS_BY * made.lacking:
        note = "" if is_possible() else "weights were not compared: pip install 'tiers[edge]'"
        return None, _by_chunks(base, made.lacking, made.full, note=note, patch_bytes=size)
    manifest = Manifest(
        kind="patch",
        name=target.name,
        version=target.version,
        counter=target.counter,
        index=digest,
        index_bytes=len(data),
        total_bytes=index.total_bytes,
        chunks=len(refs),
        makes=Makes(base=base.artifact, index=encode_index(target.index)[0]),
        lineage=Lineage(parent=f"{target.name}@{base.version}"),
    )
    artifact, payload = encode_manifest(manifest)
    store.add(new_chunks(((PATCH_FILE, made.patch),), index, set(refs)))
    store.put_whole_index(index)
    store.put_sealed(artifact, seal(payload, "manifest", key))
    share = size / made.full
    shipment = Shipment(base.version, made.way, size, share, made.lacking, size)
    return Patch(base=base.artifact, artifact=artifact, download_bytes=size), shipment


def _named(patch: Path, stored: dict[Digest, int]) -> Iterator[ChunkRef]:
    """Yield the chunks of a patch, and note what each takes when it is stored."""
    for ref, piece in pieces_of(patch):
        stored[ref.digest] = len(store_chunk(piece))
        yield ref


def _by_chunks(base: Earlier, lacking: int, full: int, *, note: str = "", patch_bytes: int = 0) -> Shipment:
    share = lacking / full if full else 0.0
    return Shipment(base.version, "chunks", lacking, share, lacking, patch_bytes, note)


def _stored(store: PackStore, refs: Sequence[ChunkRef]) -> int:
    return sum(store.stored_size_of(ref.digest) for ref in refs)


def _way(head: PatchHead) -> Way:
    """Name a patch after what most of its bytes are."""
    taken: dict[Way, int] = {"planes": 0, "patch-from": 0}
    for file in head.files:
        for op in file.ops:
            if isinstance(op, Planes):
                taken["planes"] += stored_bytes(op)
            elif isinstance(op, Prefix | Plain):
                taken["patch-from"] += stored_bytes(op)
    if not any(taken.values()):
        return "copies"
    return max(taken, key=lambda way: taken[way])
