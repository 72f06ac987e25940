"""Walk over a message of protocol buffers: numbers, texts and where the parts lie; nothing else is read.

The few fields of an ONNX file that `onnx_header` and `tensor_maps` want, without the onnx package and without loading
weights. The wire format is protobuf.dev, "Encoding". Whatever is wrong with the bytes is a `NotProtobufError`.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass

VARINT, BYTES = 0, 2
"""Wire types that are looked at."""
_FIXED = {1: 8, 5: 4}
"""Those that are skipped, and their bytes."""
_MAX_VARINT_BYTES = 10
_MAX_FIELDS = 1_000_000
_MAX_TEXT_BYTES = 4096


class NotProtobufError(Exception):
    """The bytes are not the wire format of protocol buffers, or more of it than we look at."""


@dataclass(frozen=True)
class Message:
    """One message: a range of the bytes. Nothing is copied but numbers and names."""

    data: bytes | mmap.mmap
    start: int
    end: int

    def numbers(self) -> Iterator[tuple[int, int]]:
        """Yield (field, value) of fields that are numbers."""
        for field, kind, first, _ in self.fields():
            if kind == VARINT:
                yield field, first

    def parts(self, wanted: int, *, most: int) -> Iterator[Message]:
        """Yield the messages, texts or bytes under a field."""
        found = 0
        for field, kind, start, end in self.fields():
            if field == wanted and kind == BYTES:
                found += 1
                if found > most:
                    raise NotProtobufError(f"field {wanted} comes more than {most} times")
                yield Message(self.data, start, end)

    def text(self, wanted: int) -> str:
        """Give the text under a field; empty when there is none."""
        for part in self.parts(wanted, most=1):
            if part.end - part.start > _MAX_TEXT_BYTES:
                raise NotProtobufError(f"a name has more than {_MAX_TEXT_BYTES} bytes")
            try:
                return self.data[part.start : part.end].decode()
            except UnicodeDecodeError as error:
                raise NotProtobufError("a name is not text") from error
        return ""

    def fields(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield (field, wire type, start or number, end)."""
        position, seen = self.start, 0
        while position < self.end:
            seen += 1
            if seen > _MAX_FIELDS:
                raise NotProtobufError(f"a message has more than {_MAX_FIELDS} fields")
            key, position = self._varint(position)
            field, kind = key >> 3, key & 7
            value, length = 0, 0
            if kind == VARINT:
                value, position = self._varint(position)
            elif kind == BYTES:
                length, position = self._varint(position)
            elif kind in _FIXED:
                length = _FIXED[kind]
            else:
                raise NotProtobufError(f"a field has the unknown wire type {kind}")
            if field == 0 or length > self.end - position:
                raise NotProtobufError("it ends in the middle of a field; was it cut off?")
            yield field, kind, value if kind == VARINT else position, position + length
            position += length

    def _varint(self, position: int) -> tuple[int, int]:
        value = 0
        for count in range(_MAX_VARINT_BYTES):
            if position >= self.end:
                raise NotProtobufError("it ends in the middle of a number; was it cut off?")
            byte = self.data[position]
            position += 1
            value |= (byte & 0x7F) << (7 * count)
            if byte < 0x80:  # noqa: PLR2004  # the top bit says that more follows
                return value, position
        raise NotProtobufError(f"a number has more than {_MAX_VARINT_BYTES} bytes")
