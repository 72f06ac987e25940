"""Paths inside an index: relative, of the operating system's own bytes, and never able to leave their root.

Names on Linux are bytes, not text, so an index holds bytes; `os.fsdecode` gives text that can be opened and
`shown` gives text that can be printed. Comes before `index`.
"""

from __future__ import annotations

import os

from toolkit.errors import UnsafePathError

MAX_PATH_BYTES = 4096
MAX_NAME_BYTES = 255


def check_path(path: bytes) -> bytes:
    """Return the path if it is safe below any root.

    Raises:
        UnsafePathError: it is empty, absolute, too long, or has an empty part, `.`, `..` or a NUL.
    """
    if not path or len(path) > MAX_PATH_BYTES:
        raise UnsafePathError(
            f"path {shown(path[:80])!r} has {len(path)} bytes; 1 to {MAX_PATH_BYTES} are allowed"
        )
    for part in path.split(b"/"):
        if part in (b"", b".", b"..") or b"\0" in part or len(part) > MAX_NAME_BYTES:
            message = f"path {shown(path)!r} is refused: each part must be a plain name"
            raise UnsafePathError(message, hint="the index was not written by tiers, or was changed")
    return path


def shown(path: bytes) -> str:
    """Give a path as text for people and logs; bytes that are not UTF-8 are escaped."""
    return path.decode("utf-8", "backslashreplace")


def local(path: bytes) -> str:
    """Give a checked path as text that this system can open."""
    return os.fsdecode(check_path(path))
