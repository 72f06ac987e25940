"""Files with tensors for the tests of patches, and the way there and back."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from toolkit.sync.delta.encode import Change, encode_patch, equal_runs
from toolkit.sync.delta.replay import PatchStream, replay
from toolkit.sync.delta.tensors import Tensor, pair_tensors
from toolkit.wire.chunk import ARTIFACT, cut
from toolkit.wire.delta import PatchHead
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef


@dataclass(frozen=True)
class Part:
    """Bytes of a file: a tensor when it has a name, else what lies between."""

    data: bytes
    name: str = ""
    width: int = 1
    floats: bool = False


def lay_out(parts: list[Part]) -> tuple[bytes, list[Tensor]]:
    """Give a file of these parts, and where its tensors lie."""
    data, tensors = b"", []
    for part in parts:
        if part.name:
            kind, shape = f"{part.width}{part.floats}", (len(part.data) // part.width,)
            tensors.append(Tensor(part.name, kind, shape, len(data), len(part.data), part.width, part.floats))
        data += part.data
    return data, tensors


def chunks(data: bytes) -> list[ChunkRef]:
    return [ChunkRef(digest_of(piece), len(piece)) for piece in cut(data, ARTIFACT)]


def change(folder: Path, base: bytes, target: bytes, pairs: tuple = (), *, with_runs: bool = True) -> Change:
    (folder / "base").write_bytes(base)
    (folder / "target").write_bytes(target)
    runs = equal_runs(iter(chunks(base)), iter(chunks(target))) if with_runs else []
    return Change(b"f", folder / "target", b"f", folder / "base", pairs, runs)


def patched(folder: Path, base: list[Part], target: list[Part]) -> tuple[bytes, bytes, bytes]:
    """Make a patch between two files; give base, target and patch."""
    before, old = lay_out(base)
    after, new = lay_out(target)
    encode_patch([change(folder, before, after, tuple(pair_tensors(old, new)))], folder / "patch")
    return before, after, (folder / "patch").read_bytes()


def head_of(patch: bytes) -> PatchHead:
    return PatchStream([patch]).head(len(patch))


def play(patch: bytes, base: bytes, *, piece: int = 1000) -> bytes:
    """Replay a patch of one file that comes in small pieces."""
    stream = PatchStream(patch[at : at + piece] for at in range(0, len(patch), piece))
    (file,) = stream.head(len(patch)).files
    return b"".join(replay(file, stream, lambda _, offset, length: base[offset : offset + length]))


def noise(length: int, seed: int = 0) -> bytes:
    """Give the same incompressible bytes each time: where they are cut decides which operations a patch has."""
    return random.Random(f"{length}-{seed}").randbytes(length)
