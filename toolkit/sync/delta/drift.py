"""The plane codec for single chunks: what `planes` does for the tensors of a patch, for who knows nothing of tensors.

`sync.drifting` codes with it what goes to packs, `layouts.reading` opens it. Which numbers a chunk holds is tried on a
sample of it: bf16 and fp16 are in one, because only the order of their exponents counts.
"""

from __future__ import annotations

from toolkit.errors import IntegrityError
from toolkit.sync.delta.planes import decode_planes, encode_planes
from toolkit.wire.chunk import store_chunk
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.drift import Drift, decode_drift, encode_drift

_KINDS = (
    *((2, True, 0), (2, True, 1), (4, True, 0), (4, True, 1), (4, True, 2), (4, True, 3)),
    *((1, False, 0), (8, True, 0)),
)
"""Width in bytes, whether they are floats, and where in the chunk they begin: in protocol buffers, as ONNX writes them,
numbers lie at no multiple of their width."""
_SLICES, _SLICE_BYTES = 8, 1024
WORTH_IT = 0.8
"""Of what it takes whole: a chunk that drifted must save so much, because it is read together with its base."""


def encode_drifted(base: bytes | memoryview, data: bytes | memoryview) -> bytes | None:
    """Give a chunk as a drift of another one; None when that saves too little.

    Args:
        base: the older chunk, which began at the same place of its file.
        data: the chunk.

    Raises:
        MissingExtraError: NumPy is not installed.
    """
    common = min(len(base), len(data))
    if common < _SLICES * _SLICE_BYTES:
        return None
    kind = _kind_of(base, data, common)
    if kind is None:
        return None
    width, floats, start = kind
    length = (common - start) // width * width
    end = start + length
    sections = encode_planes(base[start:end], data[start:end], width, floats=floats)
    others = b"".join((data[:start], data[end:]))
    stored = encode_drift(Drift(width, floats, start, length, tuple(sections), others))
    return stored if len(stored) <= WORTH_IT * len(data) else None


def open_drifted(stored: bytes | memoryview, digest: Digest, size: int, base: bytes | memoryview) -> bytes:
    """Give the chunk of a drift, proven to be the one that was asked for.

    Args:
        stored: what `encode_drifted` gave, possibly damaged since.
        digest: name of the chunk.
        size: its bytes; nothing larger is allocated.
        base: the chunk that it drifted from.

    Raises:
        IntegrityError: it is not that chunk.
        MissingExtraError: NumPy is not installed.
    """
    drift = decode_drift(stored, digest, size)
    end = drift.start + drift.length
    if end > len(base):
        raise IntegrityError(
            f"the drift of chunk {digest[:12]} takes bytes up to {end} of a base that has {len(base)}"
        )
    try:
        numbers = decode_planes(base[drift.start : end], list(drift.sections), floats=drift.floats)
    except IntegrityError as error:
        raise IntegrityError(f"the drift of chunk {digest[:12]} cannot be read: {error.message}") from error
    data = b"".join((drift.others[: drift.start], numbers, drift.others[drift.start :]))
    if digest_of(data) != digest:
        raise IntegrityError(f"the drift of chunk {digest[:12]} does not give the bytes it is named after")
    return data


def _kind_of(base: bytes | memoryview, data: bytes | memoryview, common: int) -> tuple[int, bool, int] | None:
    """Say which numbers a chunk holds, by what makes a sample smallest; None when nothing makes it small enough."""
    most = WORTH_IT * len(store_chunk(_sample(data, common, 0)))
    sizes = {kind: _tried(base, data, common, kind) for kind in _KINDS}
    best = min(sizes, key=lambda kind: sizes[kind])
    return best if sizes[best] <= most else None


def _tried(
    base: bytes | memoryview, data: bytes | memoryview, common: int, kind: tuple[int, bool, int]
) -> int:
    width, floats, start = kind
    before, after = _sample(base, common, start), _sample(data, common, start)
    return sum(map(len, encode_planes(before, after, width, floats=floats)))


def _sample(data: bytes | memoryview, common: int, start: int) -> bytes:
    """Give slices from all over a chunk, which begin where numbers do."""
    step = (common - _SLICE_BYTES - 8) // (_SLICES - 1) // 8 * 8
    places = (number * step + start for number in range(_SLICES))
    return b"".join(data[place : place + _SLICE_BYTES] for place in places)
