"""Of which file a checkpoint is the next version: of itself, or of one whose path differs only in numbers."""

from __future__ import annotations

import msgspec
import pytest

from toolkit.errors import MissingObjectError
from toolkit.sync.earlier_weights import EarlierWeights
from toolkit.wire.chunk import WEIGHTS_FROM_BYTES
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef, file_entry
from toolkit.wire.tree import Tree, tree_of

MIB = 1 << 20


def tree(*paths: bytes, small: tuple[bytes, ...] = ()) -> Tree:
    def entry(path: bytes, size: int):
        return file_entry(path, [ChunkRef(digest_of(b"%d" % at), MIB) for at in range(size // MIB)])

    return tree_of(
        sorted(
            [*(entry(path, WEIGHTS_FROM_BYTES) for path in paths), *(entry(path, MIB) for path in small)],
            key=lambda each: each.path,
        )
    )


HUGGING = (
    b"checkpoint-500/model-1-of-2.bin",
    b"checkpoint-500/model-2-of-2.bin",
    b"checkpoint-1000/model-1-of-2.bin",
)
LIGHTNING = (b"run-7/epoch=1-step=900.ckpt", b"run-7/epoch=2-step=1800.ckpt", b"run-8/epoch=9-step=9.ckpt")


@pytest.mark.parametrize(
    ("old", "path", "earlier"),
    [
        ((b"last.ckpt", b"last-1.ckpt"), b"last.ckpt", b"last.ckpt"),
        (HUGGING, b"checkpoint-1500/model-1-of-2.bin", b"checkpoint-1000/model-1-of-2.bin"),
        (HUGGING, b"checkpoint-1500/model-2-of-2.bin", b"checkpoint-500/model-2-of-2.bin"),
        (HUGGING, b"checkpoint-700/model-1-of-2.bin", b"checkpoint-500/model-1-of-2.bin"),
        (HUGGING, b"checkpoint-100/model-1-of-2.bin", b"checkpoint-500/model-1-of-2.bin"),
        (HUGGING, b"checkpoint-1500/optimizer.pt", None),
        (HUGGING, b"other-1500/model-1-of-2.bin", None),
        (LIGHTNING, b"run-7/epoch=10-step=9000.ckpt", b"run-7/epoch=2-step=1800.ckpt"),
        (LIGHTNING, b"run-9/epoch=1-step=900.ckpt", b"run-7/epoch=1-step=900.ckpt"),
        ((b"9", b"10"), b"11", b"10"),
        ((), b"11", None),
    ],
)
def test_the_earlier_version_is_found(old, path, earlier):
    found = EarlierWeights(tree(*old)).of(path)
    assert (found.path if found else None) == earlier


def test_small_files_are_nobody_s_earlier_version():
    known = EarlierWeights(tree(b"a-1.bin", small=(b"a-2.bin",)))
    assert known.of(b"a-3.bin").path == b"a-1.bin"


def test_an_index_that_cannot_be_read_knows_nothing():
    (part,) = tree(b"a-1.bin").parts
    asked = []

    def lost(digest):
        asked.append(digest)
        raise MissingObjectError(digest)

    known = EarlierWeights(Tree([msgspec.structs.replace(part, digest=b"?" * 32)], lost, whole=False))
    assert known.of(b"a-1.bin") is None
    assert known.of(b"a-2.bin") is None
    assert len(asked) == 2
