"""What every transport offers: a store of named objects that are written whole or not at all.

`layouts` stand on this protocol; `directory` (and later sftp, s3, link) implement it; tests/contracts/remote.py is the
one suite that all of them pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from toolkit.errors import UnsafePathError

MAX_OBJECT_BYTES = 64 * 1024 * 1024
"""No object of ours is larger: packs have 16 MiB, an index at most this."""

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@=-]{0,199}")
_MAX_PARTS = 12


@dataclass(frozen=True, order=True)
class Found:
    """An object in a listing: its key, its size in bytes, and when it was stored by the clock of the store."""

    key: str
    size: int
    modified_ms: int = field(default=0, compare=False)
    """Milliseconds since 1970, as the other side tells it; 0 when it does not."""


class Remote(Protocol):
    """A store of objects. Usable by several threads at once.

    Every method raises RemoteUnavailableError when the other side does not answer, is full or refuses, and
    UnsafePathError for a key that `check_key` refuses.
    """

    @property
    def url(self) -> str:
        """Where it is, for people; without secrets."""
        ...

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, limit: int = MAX_OBJECT_BYTES
    ) -> bytes:
        """Give the bytes of an object, or `length` of them from `start`; fewer when the object ends before.

        Raises:
            MissingObjectError: there is no such object.
            IntegrityError: more than `limit` bytes would have to be read.
        """
        ...

    def write(self, key: str, data: bytes) -> None:
        """Store an object, in place of one that may be there. A reader sees the old bytes or the new, never a mix.

        When this returns the object survives a loss of power; when it raises, the old state is whole.
        """
        ...

    def write_new(self, key: str, data: bytes) -> bool:
        """Store an object unless one is there, as one step; say whether it was stored."""
        ...

    def exists(self, key: str) -> bool:
        """Say whether there is such an object."""
        ...

    def list(self, prefix: str = "") -> Iterator[Found]:
        """Yield the objects whose keys begin with `prefix`, in the order of their keys.

        The prefix is empty or ends with a slash.
        """
        ...

    def delete(self, key: str) -> bool:
        """Remove an object; say whether it was there."""
        ...


def is_key(part: str) -> bool:
    """Tell whether a name may be one part of a key; what else lies in a store is not ours."""
    return _PART.fullmatch(part) is not None


def check_key(key: str) -> str:
    """Return the key if it is safe on every transport.

    Raises:
        UnsafePathError: it is empty, absolute, too deep, or a part has a character that a key may not have.
    """
    parts = key.split("/")
    if len(parts) > _MAX_PARTS or not all(_PART.fullmatch(part) for part in parts):
        message = f"key {key[:200]!r} is refused: each part must be letters, digits and ._+@=-"
        raise UnsafePathError(message, hint="a part begins with a letter or a digit")
    return key


def check_prefix(prefix: str) -> str:
    """Return the prefix of a listing if it is empty or a key with a slash behind it.

    Raises:
        UnsafePathError: it is neither.
    """
    if prefix and not prefix.endswith("/"):
        raise UnsafePathError(f"prefix {prefix[:200]!r} is refused: it must be empty or end with a slash")
    if prefix:
        check_key(prefix[:-1])
    return prefix
