"""A folder of this machine that no path can leave: every step is opened by the one before, and links are not followed.

`remotes.directory` keeps objects in one, `layouts.mirror` keeps browsable files in one, `scan` reads one. A link that
somebody plants below the root is refused, whatever it points to (CWE-22, CWE-59).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from toolkit.errors import RemoteUnavailableError, TiersError, UnsafePathError
from toolkit.wire.paths import shown

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
FOLDER_MODE = 0o755

_CURES = {
    errno.ENOSPC: "free some space there and run it again; what has arrived is kept",
    errno.EDQUOT: "raise the quota there and run it again; what has arrived is kept",
    errno.EROFS: "mount it writable",
    errno.EACCES: "let this user write there",
    errno.EPERM: "let this user write there",
    errno.ENOENT: "mount it, or make it with mkdir -p",
    errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
}


class Folder:
    """A root and what lies below it. Usable by several threads."""

    def __init__(self, path: str) -> None:
        """Open the root, which must be there; a link to it is followed, because the operator named it.

        Raises:
            RemoteUnavailableError: it is not there, not a folder, or not ours to read.
        """
        self.path = path
        try:
            self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise unavailable(error, path) from error

    def close(self) -> None:
        """Let go of the root."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def __del__(self) -> None:
        """Close it when it is forgotten; an error in the constructor leaves nothing to close."""
        if getattr(self, "_root", -1) >= 0:
            self.close()

    @contextmanager
    def parent(self, path: bytes, *, create: bool = False) -> Iterator[tuple[int, bytes]]:
        """Open the folder that `path` lies in; yield its descriptor and the last part of the path.

        Args:
            path: relative and already checked (`wire.paths.check_path` or `remote.check_key`).
            create: make folders that are missing, durably.

        Raises:
            UnsafePathError: a part of the way is a link or a file.
            FileNotFoundError: a part of the way is missing and `create` is off.
        """
        *way, name = path.split(b"/")
        descriptor = os.dup(self._root)
        try:
            for part in way:
                following = self._step(descriptor, part, path, create=create)
                os.close(descriptor)
                descriptor = following
            yield descriptor, name
        finally:
            os.close(descriptor)

    @contextmanager
    def folder(self, path: bytes, *, create: bool = False) -> Iterator[int]:
        """Open a folder below the root (the root itself for an empty path); arguments and errors as in `parent`."""
        with self.parent(path + b"/." if path else b".", create=create) as (descriptor, _):
            yield descriptor

    def _step(self, descriptor: int, part: bytes, path: bytes, *, create: bool) -> int:
        try:
            return os.open(part, _FOLDER, dir_fd=descriptor)
        except FileNotFoundError:
            if not create:
                raise
        except OSError as error:
            raise _in_the_way(error, self.path, path, part) from error
        try:
            os.mkdir(part, FOLDER_MODE, dir_fd=descriptor)
            os.fsync(descriptor)
        except FileExistsError:
            pass  # another thread or process was faster; opening says whether it is a folder
        try:
            return os.open(part, _FOLDER, dir_fd=descriptor)
        except OSError as error:
            raise _in_the_way(error, self.path, path, part) from error


def _in_the_way(error: OSError, root: str, path: bytes, part: bytes) -> Exception:
    if error.errno not in (errno.ELOOP, errno.ENOTDIR):
        return error
    return UnsafePathError(
        f"{root}/{shown(path)}: {shown(part)!r} on the way is a link or a file, not a folder",
        hint="nothing was read or written through it; look at who put it there, and move it away",
    )


def unavailable(error: OSError, where: str) -> TiersError:
    """Turn an operating system's error into ours, with the cure."""
    reason = error.strerror or str(error)
    return RemoteUnavailableError(
        f"{where}: {reason}", hint=_CURES.get(error.errno or 0, "look at the disk or the mount")
    )
