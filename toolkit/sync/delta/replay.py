"""Make the files of a version out of those of another and a patch, a few megabytes at a time.

Nothing here proves that the bytes are right: whoever replays compares chunks with the target's index (`cut_by`) and
keeps only those whose digest is the one named there. What is bounded is the memory: an operation makes at most 32 MiB
and looks at no more than 64 MiB of the base (`wire.delta` refuses others).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from toolkit.errors import IntegrityError
from toolkit.sync.delta.planes import decode_planes
from toolkit.sync.delta.prefix import decode_prefix
from toolkit.wire.delta import (
    START_BYTES,
    Copy,
    Op,
    PatchedFile,
    PatchHead,
    Plain,
    Prefix,
    decode_head,
    head_length,
    open_section,
)
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef
from toolkit.wire.paths import shown

ReadBase = Callable[[bytes, int, int], bytes]
"""(path in the base, offset, length) -> bytes; fewer when the file ends before."""
_COPIED_AT_ONCE: Final = 1024 * 1024


class PatchStream:
    """A patch that is read from its beginning to its end."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """Begin; `pieces` are the bytes of the patch in order, each of any size."""
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def take(self, length: int) -> bytes:
        """Give the next bytes.

        Raises:
            IntegrityError: there are not so many.
        """
        taken: list[memoryview] = []
        while length > len(self._rest):
            taken.append(self._rest)
            length -= len(self._rest)
            try:
                self._rest = memoryview(next(self._pieces))
            except StopIteration:
                raise IntegrityError("the patch ends too early", hint="push the version again") from None
        taken.append(self._rest[:length])
        self._rest = self._rest[length:]
        return b"".join(taken)

    def head(self, patch_bytes: int) -> PatchHead:
        """Read the head, which stands first; `patch_bytes` is the size of the whole patch.

        Raises:
            IntegrityError: it is no patch, was damaged, or contradicts itself.
            UnsafePathError: a path would leave its folder.
        """
        start = self.take(START_BYTES)
        return decode_head(start, self.take(head_length(start)), patch_bytes=patch_bytes)


def replay(file: PatchedFile, patch: PatchStream, read_base: ReadBase) -> Iterator[bytes]:
    """Yield the bytes of a file; those of files that stand before it in the head must have been taken.

    Raises:
        IntegrityError: a section was damaged, or the base is shorter than it should be.
        MissingExtraError: NumPy is not installed and the patch needs it.
    """

    def base(offset: int, length: int) -> bytes:
        data = read_base(file.base, offset, length)
        if len(data) != length:
            raise IntegrityError(f"{shown(file.base)!r} of the base ends before byte {offset + length}")
        return data

    for op in file.ops:
        if isinstance(op, Copy):
            for done in range(0, op.length, _COPIED_AT_ONCE):
                yield base(op.offset + done, min(_COPIED_AT_ONCE, op.length - done))
        else:
            yield _made(op, patch, base)


def cut_by(refs: Iterable[ChunkRef], pieces: Iterable[bytes]) -> Iterator[tuple[ChunkRef, memoryview]]:
    """Cut bytes as an index says, and yield each chunk's reference with the bytes that stand in its place.

    Raises:
        IntegrityError: there are more or fewer bytes than the index says.
    """
    stream, rest = iter(pieces), memoryview(b"")
    for ref in refs:
        while len(rest) < ref.size:
            piece = next(stream, None)
            if piece is None:
                raise IntegrityError("the patch makes fewer bytes than the index says")
            rest = memoryview(b"".join((rest, piece)) if rest else piece)
        yield ref, rest[: ref.size]
        rest = rest[ref.size :]
    if len(rest) or next(stream, None) is not None:
        raise IntegrityError("the patch makes more bytes than the index says")


def is_right(ref: ChunkRef, data: memoryview) -> bool:
    """Tell whether some bytes are the chunk that a reference names."""
    return len(data) == ref.size and digest_of(data) == ref.digest


def _made(op: Op, patch: PatchStream, base: Callable[[int, int], bytes]) -> bytes:
    if isinstance(op, Plain):
        return open_section(patch.take(op.stored), op.length)
    if isinstance(op, Prefix):
        return decode_prefix(base(op.offset, op.span), patch.take(op.stored), op.length)
    if isinstance(op, Copy):
        return base(op.offset, op.length)
    sections = [patch.take(each) for each in op.stored]
    return decode_planes(base(op.offset, op.length), sections, floats=op.floats)
