"""The codec for bytes that nothing is known of: zstd whose matches may reach back into a stretch of the base.

What `zstd --patch-from` does, but never with more than 64 MiB of the base at once (`wire.delta.MAX_SPAN_BYTES`), so
that a device's memory is bounded whatever the file's size. Used by `encode` and `replay`.
"""

from __future__ import annotations

from typing import Final

import zstandard

from toolkit.wire.delta import RAW, ZSTD, open_section

LEVEL: Final = 3
_LEAST_WINDOW_LOG, _MOST_WINDOW_LOG = 17, 27


def encode_prefix(base: bytes, target: bytes) -> bytes:
    """Give a section for `target` that is read with `base` before it."""
    # A match may start anywhere in the base only while the window covers base and target together.
    log = (len(base) + len(target)).bit_length()
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL,
        source_size=len(target),
        dict_size=len(base),
        window_log=min(max(log, _LEAST_WINDOW_LOG), _MOST_WINDOW_LOG),
        enable_ldm=True,
        write_content_size=1,
    )
    packed = zstandard.ZstdCompressor(dict_data=_dictionary(base), compression_params=parameters).compress(
        target
    )
    if len(packed) < len(target):
        return b"".join((bytes([ZSTD]), packed))
    return b"".join((bytes([RAW]), target))


def decode_prefix(base: bytes, section: bytes, length: int) -> bytes:
    """Give back the `length` bytes that `encode_prefix` made a section of.

    Raises:
        IntegrityError: it was damaged, or made with another base.
    """
    return open_section(section, length, _dictionary(base))


def _dictionary(base: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
