"""The rules that every document of `wire` shares: a format number, a size limit, no unknown fields, one encoding.

Two encodings: JSON with sorted keys for what people may want to read (manifests, states, configuration), MessagePack
for what is large or frequent (indexes, requests). Signatures are over the bytes as sent, so canonical form matters
only for equal output from equal input, which sorted keys give.
"""

from __future__ import annotations

from functools import cache
from typing import ClassVar, TypeVar

import msgspec
from msgspec.structs import force_setattr

from toolkit.errors import IntegrityError
from toolkit.wire.learnt import learn

MAX_DOCUMENT_BYTES = 64 * 1024
"""Largest JSON document that is taken from a link: what Azure and AWS allow for a retained message."""


class Sparse(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a document that grows by optional fields: those that have their default are not written."""

    def __post_init__(self) -> None:
        """Take the class's own defaults for equal values; see `take_defaults`."""
        take_defaults(self)


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value that crosses a link or rests on a disk. Subclasses set FORMAT and describe their fields.

    A format grows by optional fields. Such a class says `omit_defaults=True` and overrides `needed_format`, so that
    what could be said before is still said in the old number: machines that are updated later go on reading it.
    """

    FORMAT: ClassVar[int] = 1
    """The newest number that this version writes."""
    READS: ClassVar[tuple[int, ...]] = (1,)
    """Format numbers that this version reads: the present one and the one before."""

    format: int = 0
    """0 stands for the lowest number that can say this value; it is replaced when the value is made."""

    def __post_init__(self) -> None:
        """Choose the number."""
        if self.__struct_config__.omit_defaults:
            take_defaults(self)
        if not self.format:
            force_setattr(self, "format", self.needed_format())

    def needed_format(self) -> int:
        """Give the lowest number that can say this value."""
        return self.FORMAT


def take_defaults(value: msgspec.Struct) -> None:
    """Put the default object itself into each field whose value equals it, when a value has just been made.

    msgspec leaves a field out if it holds the very object that the class has as its default; 30.0 that was computed,
    or another empty struct, would be written, and machines that do not know the field yet would refuse the document.
    """
    for name, default in _defaults(type(value)):
        present = getattr(value, name)
        if present is not default and present == default:
            force_setattr(value, name, default)


@cache
def _defaults(kind: type[msgspec.Struct]) -> tuple[tuple[str, object], ...]:
    found = ((each.name, each.default) for each in msgspec.structs.fields(kind))
    return tuple((name, default) for name, default in found if default is not msgspec.NODEFAULT)


D = TypeVar("D", bound=Document)


def encode_json(document: Document) -> bytes:
    """Give the JSON bytes of a document: UTF-8, sorted keys, no spaces."""
    return msgspec.json.encode(document, order="sorted")


def encode_msgpack(document: Document) -> bytes:
    """Give the MessagePack bytes of a document: a map with sorted keys."""
    return msgspec.msgpack.encode(document, order="sorted")


def decode_json(data: bytes, kind: type[D], *, what: str, limit: int = MAX_DOCUMENT_BYTES) -> D:
    """Read a JSON document that may come from anybody.

    Args:
        data: the bytes as received.
        kind: the document's class.
        what: how to name it in an error, for example "manifest from topic tiers/1/north/a/…".
        limit: largest number of bytes to look at.

    Raises:
        IntegrityError: too large, not JSON, not this document, or of a format number that is not read here.
    """
    _check_size(data, what, limit)
    try:
        _check_format(msgspec.json.decode(data, type=learn(_Numbered)), kind, what)
        return msgspec.json.decode(data, type=learn(kind))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(what, kind, error) from error


def decode_msgpack(data: bytes, kind: type[D], *, what: str, limit: int) -> D:
    """Read a MessagePack document that may come from anybody. Arguments and errors as in `decode_json`."""
    _check_size(data, what, limit)
    try:
        _check_format(msgspec.msgpack.decode(data, type=learn(_Numbered)), kind, what)
        return msgspec.msgpack.decode(data, type=learn(kind))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(what, kind, error) from error


class _Numbered(msgspec.Struct):
    """Just the format number, read first so that a newer document gets an honest answer."""

    format: int


def _check_size(data: bytes, what: str, limit: int) -> None:
    if len(data) > limit:
        message = f"{what} has {len(data)} bytes; at most {limit} are read"
        raise IntegrityError(message, hint="nothing was decoded; look at who wrote it")


def _check_format(numbered: _Numbered, kind: type[Document], what: str) -> None:
    if numbered.format in kind.READS:
        return
    reads = ", ".join(str(number) for number in kind.READS)
    message = f"{what} has format {numbered.format}; this version reads {kind.__name__} {reads}"
    hint = (
        "update tiers on this machine"
        if numbered.format > max(kind.READS)
        else "write it again with this version"
    )
    raise IntegrityError(message, hint=hint)


def _unreadable(what: str, kind: type[Document], error: Exception) -> IntegrityError:
    return IntegrityError(
        f"{what} is not a {kind.__name__}: {error}", hint="it was damaged, or written by something else"
    )
