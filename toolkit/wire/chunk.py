"""Cut bytes where their content says so, and store each piece raw or compressed.

`sync.scan` and `registry.push` feed a `Cutter` and get pieces; `store_chunk` gives the bytes that rest in a Remote and
travel in a `frame`; `open_chunk` takes them back and trusts nothing. The cut points are FastCDC 2020 (Xia et al.,
"The Design of Fast Content-Defined Chunking", IEEE TPDS 2020) with normalised chunking 1 and the paper's gear table;
`cuts` has the function, tests/toolkit/wire/vectors freezes what comes out.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log2
from typing import Literal

import zstandard

from toolkit.errors import IntegrityError
from toolkit.wire.cuts import Sizes, cuts_for
from toolkit.wire.digest import Digest, digest_of

KIB = 1024
MIB = 1024 * KIB

RAW = 0
ZSTD = 1
"""First byte of a stored chunk: how the rest is coded."""

_RAW_PREFIX = bytes([RAW])
_ZSTD_PREFIX = bytes([ZSTD])
_LEVEL = 1
_PROBE_BYTES = 4 * KIB
_WORTH_IT = 0.97
"""A chunk is stored compressed only if that makes it at least 3 % smaller; reading raw is cheaper."""


@dataclass(frozen=True)
class Grid:
    """Sizes in bytes that steer the cut: no piece below `minimum` but the last, none above `maximum`.

    Where both are the same, the content has no say.
    """

    minimum: int
    average: int
    maximum: int


ARTIFACT = Grid(4 * KIB, 16 * KIB, 64 * KIB)
"""Artifacts up to 64 MiB, and data files with scattered changes."""
LARGE_ARTIFACT = Grid(16 * KIB, 64 * KIB, 256 * KIB)
"""Artifacts above 64 MiB, and data by default."""
ARCHIVE = Grid(256 * KIB, 1 * MIB, 4 * MIB)
"""Write-once archives."""
WEIGHTS = Grid(1 * MIB, 1 * MIB, 1 * MIB)
"""Large files of weights that all move a little from one version to the next; see `sync.drifting`."""
WEIGHTS_FROM_BYTES = 8 * MIB

MAX_CHUNK_BYTES = ARCHIVE.maximum
"""No chunk of any grid is larger; checked before anything is allocated."""
LARGE_ARTIFACT_FROM_BYTES = 64 * MIB
_TELLING_PIECES = 4


SCATTERED_NAMES = (
    *(b".bin", b".ckpt", b".db", b".h5", b".hdf5", b".img", b".npy", b".pt", b".pth", b".qcow2"),
    *(b".safetensors", b".sqlite", b".sqlite3", b".vdi", b".vmdk"),
)
"""Ends of names of files that come again with changes here and there: weights, databases, disks."""
ARCHIVE_NAMES = (
    *(b".7z", b".bz2", b".gz", b".mkv", b".mov", b".mp4", b".rar", b".tgz", b".xz", b".zip", b".zst"),
)
"""Ends of names of files that are written once: what is compressed as a whole changes as a whole."""


def grid_for(
    kind: Literal["artifact", "data", "scattered", "archive", "weights"], size: int, name: bytes = b""
) -> Grid:
    """Choose the grid of a file; part of the format, so the same input always gives the same cuts.

    Args:
        kind: what the file belongs to. Of `data`, the end of the name decides, in either case of letters.
        size: its bytes; they count for artifacts and weights only, because a file that grows must not be cut anew.
        name: last part of its path.
    """
    if kind == "weights":
        if size >= WEIGHTS_FROM_BYTES:
            return WEIGHTS
        kind = "data"
    ending = name.lower()
    if kind == "archive" or (kind == "data" and ending.endswith(ARCHIVE_NAMES)):
        return ARCHIVE
    if kind == "scattered" or (kind == "artifact" and size <= LARGE_ARTIFACT_FROM_BYTES):
        return ARTIFACT
    return ARTIFACT if kind == "data" and ending.endswith(SCATTERED_NAMES) else LARGE_ARTIFACT


def grid_of(sizes: Sequence[int]) -> Grid | None:
    """Find the grid in which a file was cut, by the sizes of its pieces; None when they are too few, or of none.

    A file that is known goes on being cut as it was, or all of it would move again.
    """
    whole = sizes[:-1]
    if len(whole) < _TELLING_PIECES:
        return None
    if set(whole) == {WEIGHTS.maximum}:
        return WEIGHTS
    fitting = [
        grid
        for grid in (ARTIFACT, LARGE_ARTIFACT, ARCHIVE)
        if grid.minimum <= min(whole) and max(whole) <= grid.maximum
    ]
    average = sum(whole) / len(whole)
    return min(fitting, key=lambda grid: abs(log2(average / grid.average)), default=None)


class Cutter:
    """Cuts a stream that arrives in segments into the same pieces as if it had arrived whole.

    Not for use by several threads at once.
    """

    def __init__(self, grid: Grid) -> None:
        """Begin a stream."""
        self._grid = grid
        self._cuts = cuts_for(Sizes(grid.minimum, grid.average, grid.maximum))
        self._tail = b""

    def feed(self, segment: bytes | bytearray | memoryview) -> Iterator[memoryview]:
        """Yield the pieces that are certain now; the last `maximum` bytes may wait for what follows.

        The pieces are views that are valid until the next call.
        """
        data = memoryview(segment)
        start = 0
        if tail := self._tail:
            # Only the pieces that begin in the tail need it in front of them; after that the segment is cut in place.
            joined = memoryview(tail + data[: 2 * self._grid.maximum])
            end = 0
            for piece in self._certain(joined):
                yield piece
                end += len(piece)
                if end >= len(tail):
                    break
            if end < len(tail):
                # No piece got past the tail, which only a short segment can bring about.
                self._tail = bytes(joined[end:])
                return
            start = end - len(tail)
        for piece in self._certain(data[start:]):
            yield piece
            start += len(piece)
        self._tail = bytes(data[start:])

    def _certain(self, data: memoryview) -> Iterator[memoryview]:
        """Cut as far as what follows cannot change the cut: it looks at no more than `maximum` bytes."""
        position = 0
        for length in self._cuts(data):
            if len(data) - position < self._grid.maximum:
                return
            yield data[position : position + length]
            position += length

    def window(self, data: memoryview, *, last: bool) -> list[int]:
        """Give the lengths that `lengths` yields."""
        return list(self.lengths(data, last=last))

    def lengths(self, data: memoryview, *, last: bool) -> Iterator[int]:
        """Cut bytes that begin at a cut, and yield the lengths of the pieces that are certain.

        For who can read again what comes behind them, which is where the next window begins: nothing is carried over,
        and `feed` knows nothing of it. `last` says that nothing follows; then all bytes are cut.
        """
        if not last:
            for piece in self._certain(data):
                yield len(piece)
        elif data:
            yield from self._cuts(data)

    def finish(self) -> Iterator[memoryview]:
        """Yield what is left, and begin anew."""
        data = memoryview(self._tail)
        self._tail = b""
        if not data:
            return
        position = 0
        for length in self._cuts(data):
            yield data[position : position + length]
            position += length


def cut(data: bytes | bytearray | memoryview, grid: Grid) -> list[memoryview]:
    """Cut bytes that are all at hand. `b"".join(cut(data, grid)) == data`; nothing gives no pieces."""
    cutter = Cutter(grid)
    return [*cutter.feed(data), *cutter.finish()]


def store_chunk(data: bytes | memoryview) -> bytes:
    """Give the stored form of a chunk: one byte for the coding, then the bytes raw or as one zstd frame.

    A sample is compressed first, because what is compressed already does not shrink and the attempt is what costs. The
    sample is taken at the same level: faster ones look only for repetitions, and miss that the values of 12-bit images
    (-27 %) and of float weights (-7 %) are not spread evenly.
    """
    if len(data) > _PROBE_BYTES:
        middle = (len(data) - _PROBE_BYTES) // 2
        sample = data[middle : middle + _PROBE_BYTES]
        if len(_CODERS.compressor.compress(sample)) >= len(sample) * _WORTH_IT:
            return b"".join((_RAW_PREFIX, data))
    packed = _CODERS.compressor.compress(data)
    if len(packed) < len(data) * _WORTH_IT:
        return _ZSTD_PREFIX + packed
    return b"".join((_RAW_PREFIX, data))


def open_chunk(stored: bytes | memoryview, digest: Digest, size: int) -> bytes:
    """Take a chunk out of its stored form and prove that it is the one that was asked for.

    Args:
        stored: what `store_chunk` gave, possibly damaged since.
        digest: name of the chunk's bytes.
        size: number of bytes the index says it has; nothing larger is allocated.

    Raises:
        IntegrityError: it is not that chunk.
    """
    return bytes(view_chunk(stored, digest, size))


def view_chunk(stored: bytes | memoryview, digest: Digest, size: int) -> bytes | memoryview:
    """Do what `open_chunk` does without a copy: what was stored raw is a view into `stored`. Errors as there."""
    if not 0 <= size <= MAX_CHUNK_BYTES:
        raise IntegrityError(
            f"chunk {digest[:12]} claims {size} bytes; no chunk has more than {MAX_CHUNK_BYTES}"
        )
    if not stored:
        raise IntegrityError(f"chunk {digest[:12]} is empty")
    data = decode_stored(stored, digest, size)
    if len(data) != size or digest_of(data) != digest:
        raise IntegrityError(f"chunk {digest[:12]} does not hold the bytes it is named after")
    return data


def decode_stored(stored: bytes | memoryview, digest: Digest, size: int) -> bytes | memoryview:
    """Take bytes out of their stored form, unproven: for whoever goes on to prove what they are a part of.

    Args:
        stored: what `store_chunk` gave, possibly damaged since; not empty.
        digest: of what it belongs to, for errors.
        size: number of bytes that a frame must unpack to; what was stored raw may have another one.

    Raises:
        IntegrityError: it is not in a stored form.
    """
    coding, body = stored[0], memoryview(stored)[1:]
    if coding == RAW:
        return body
    if coding != ZSTD:
        raise IntegrityError(f"chunk {digest[:12]} has the unknown coding {coding}")
    try:
        if zstandard.frame_content_size(body) != size:
            raise IntegrityError(f"chunk {digest[:12]} would not unpack to the {size} bytes of its index")
        return _CODERS.decompressor.decompress(body, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise IntegrityError(f"chunk {digest[:12]} cannot be unpacked: {error}") from error


class _Coders(threading.local):
    """One set of zstd contexts a thread: they must not be shared, and making one costs more than a chunk."""

    def __init__(self) -> None:
        """Make the set of this thread when it first asks for it."""
        settings = zstandard.ZstdCompressionParameters.from_level(
            _LEVEL, write_content_size=1, write_checksum=0
        )
        self.compressor = zstandard.ZstdCompressor(compression_params=settings)
        self.decompressor = zstandard.ZstdDecompressor()


_CODERS = _Coders()
