"""The Unix socket that a server listens on, beside TCP or instead of it: a file, and who may open it may ask.

`server` binds it before it listens, so that nobody can connect while the file has other rights than its own. A file
that a killed process left is taken away; one on which somebody listens, or that is another user's, is not.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Final

from toolkit.errors import TiersError, UsageError

LONGEST: Final = 107
"""Bytes of a path in sockaddr_un, without its NUL (man 7 unix)."""
MODE: Final = 0o660
"""The daemon's user and group."""
_CREDENTIALS: Final = struct.Struct("3i")
"""ucred: process, user, group (man 7 unix, SO_PEERCRED)."""


def check_path(path: str) -> None:
    """Refuse a path that no socket can have.

    Raises:
        UsageError: it is too long.
    """
    size = len(os.fsencode(path))
    if size > LONGEST:
        message = f"serving.unix_socket {path} has {size} bytes; a socket's path has at most {LONGEST}"
        raise UsageError(message, hint="put it in a shorter folder, such as /run/tiers/serve.sock")


def bind(path: str) -> socket.socket:
    """Make the socket with its rights; nobody can connect before somebody listens on it.

    Raises:
        UsageError: another file is there, or the folder lets strangers replace the socket.
        TiersError: somebody listens there already, or the file cannot be made.
    """
    check_path(path)
    _check_folder(Path(path).parent)
    _take_away(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(path)
        Path(path).chmod(MODE)
    except OSError as exc:
        made.close()
        raise TiersError(
            f"cannot serve on {path}: {exc.strerror or exc}", hint="give a folder where tiers-edge may write"
        ) from exc
    made.setblocking(False)  # noqa: FBT003 -- the standard library's signature
    return made


def remove(path: str, inode: int) -> None:
    """Take the file away if it still is the one that was bound; repeating it is harmless."""
    with contextlib.suppress(OSError):
        if Path(path).lstat().st_ino == inode:
            Path(path).unlink()


def user_of(connection: socket.socket) -> int:
    """Give the user who connected, as the kernel knows it."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(found)[1])


def _check_folder(folder: Path) -> None:
    try:
        found = folder.stat()
    except OSError as exc:
        message = f"serving.unix_socket: {folder} cannot be used: {exc.strerror or exc}"
        raise UsageError(message, hint=f"make it: mkdir -m 750 {folder}") from exc
    mine = found.st_uid in (0, os.geteuid())
    open_to_all = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
    if not mine or open_to_all:
        why = "is writable for everybody" if mine else "belongs to another user"
        message = f"serving.unix_socket: {folder} {why}, who could put a socket of his own there"
        raise UsageError(message, hint=f"use a folder of tiers-edge's own: mkdir -m 750 {folder}/tiers")


def _take_away(path: str) -> None:
    """Remove what a process left that was killed."""
    try:
        found = Path(path).lstat()
    except FileNotFoundError:
        return
    except OSError as exc:
        raise UsageError(
            f"serving.unix_socket {path} cannot be used: {exc.strerror or exc}", hint="give another path"
        ) from exc
    if not stat.S_ISSOCK(found.st_mode):
        raise UsageError(f"serving.unix_socket {path} is there and is no socket", hint="give another path")
    if found.st_uid != os.geteuid():
        message = f"serving.unix_socket {path} belongs to user {found.st_uid}"
        raise UsageError(message, hint="give another path, or remove it as that user")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        outcome = probe.connect_ex(path)
    if outcome != errno.ECONNREFUSED:  # 0, or one who listens and is too busy to answer
        raise TiersError(
            f"cannot serve on {path}: somebody listens there",
            hint="stop the other tiers-edge, or give another path",
        )
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
