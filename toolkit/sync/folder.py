"""A folder of this machine that no path can leave: every step is opened by the one before, and links are not followed.

`remotes.directory` keeps objects in one, `layouts.mirror` keeps browsable files in one, `scan` reads one. A link that
somebody plants below the root is refused, whatever it points to (CWE-22, CWE-59).
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache

from toolkit.errors import RemoteUnavailableError, TiersError, UnsafePathError
from toolkit.wire.paths import shown

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""For a plain file: a link is refused, and a pipe that took its place does not make us wait."""
FOLDER_MODE = 0o755
_NO_NAMES = (b"", b".", b"..")
_START_WRITING = 2
_SHARE_BLOCKS = 0x40049409
"""FICLONE of linux/fs.h."""
FEW = 256
"""So few files are flushed one by one; more of them by flushing the file system, which takes others' data along."""
_FLUSHERS = 8

_CURES = {
    errno.ENOSPC: "free some space there and run it again; what has arrived is kept",
    errno.EDQUOT: "raise the quota there and run it again; what has arrived is kept",
    errno.EROFS: "mount it writable",
    errno.EACCES: "let this user read and write there",
    errno.EPERM: "let this user read and write there",
    errno.ENOENT: "mount it, or make it with mkdir -p",
    errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
}


class Folder:
    """A root and what lies below it. Usable by several threads.

    Paths are relative, of bytes, and already checked (`wire.paths.check_path` or `remote.check_key`). A step that is a
    link or a file raises UnsafePathError, one that is missing FileNotFoundError; other OSErrors pass through.
    """

    def __init__(self, path: str) -> None:
        """Open the root, which must be there; a link to it is followed, because the operator named it.

        Raises:
            RemoteUnavailableError: it is not there, not a folder, or not ours to read.
        """
        self.path = path
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise unavailable(error, path) from error

    def close(self) -> None:
        """Let go of the root."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __del__(self) -> None:
        """Close it when it is forgotten; an error in the constructor leaves nothing to close."""
        if getattr(self, "descriptor", -1) >= 0:
            self.close()

    def open_folder(self, path: bytes, *, create: bool = False) -> int:
        """Open a folder (the root for an empty path) and give its descriptor, which the caller closes.

        Args:
            path: where it is.
            create: make folders that are missing, durably.
        """
        descriptor = os.dup(self.descriptor)
        try:
            for part in path.split(b"/") if path else ():
                following = self._step(descriptor, part, path, create=create)
                os.close(descriptor)
                descriptor = following
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    @contextmanager
    def folder(self, path: bytes, *, create: bool = False) -> Iterator[int]:
        """Open a folder for the length of a `with`; see `open_folder`."""
        descriptor = self.open_folder(path, create=create)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def parent(self, path: bytes, *, create: bool = False) -> Iterator[tuple[int, bytes]]:
        """Open the folder that `path` lies in; yield its descriptor and the last part of the path."""
        way, _, name = path.rpartition(b"/")
        with self.folder(way, create=create) as descriptor:
            yield descriptor, name

    def flush(self, paths: Collection[bytes]) -> None:
        """Bring files and folders to the disk; what is not there any more is left out.

        Raises:
            OSError: the disk did not take it.
        """
        if not paths:
            return
        if len(paths) <= FEW:
            with suppress(PermissionError):  # a file of ours that even we may not open
                with ThreadPoolExecutor(
                    _FLUSHERS, "flush"
                ) as pool:  # at once: the disk's journal is written once
                    list(pool.map(self._flush_one, paths))
                return
        self.flush_all()

    def flush_all(self) -> None:
        """Bring everything in the file system to the disk, others' data along with ours.

        Raises:
            OSError: the disk did not take it.
        """
        flush = _libc_function("syncfs")
        if flush is None:
            os.sync()
        elif (number := flush(self.descriptor)) != 0:
            raise OSError(number, os.strerror(number), self.path)

    def _flush_one(self, path: bytes) -> None:
        with suppress(FileNotFoundError), self.parent(path) as (way, name):
            descriptor = os.open(name or b".", READ_FLAGS, dir_fd=way)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _step(self, descriptor: int, part: bytes, path: bytes, *, create: bool) -> int:
        if part in _NO_NAMES:  # who asks has checked the path; nothing depends on that
            raise UnsafePathError(f"{self.path}: {shown(path)!r} would leave it, or is no path")
        try:
            return os.open(part, FOLDER_FLAGS, dir_fd=descriptor)
        except FileNotFoundError:
            if not create:
                raise
        except OSError as error:
            raise self._in_the_way(error, path, part) from error
        try:
            os.mkdir(part, FOLDER_MODE, dir_fd=descriptor)
            os.fsync(descriptor)
        except FileExistsError:
            pass  # another thread or process was faster; opening says whether it is a folder
        try:
            return os.open(part, FOLDER_FLAGS, dir_fd=descriptor)
        except OSError as error:
            raise self._in_the_way(error, path, part) from error

    def _in_the_way(self, error: OSError, path: bytes, part: bytes) -> Exception:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            return error
        return UnsafePathError(
            f"{self.path}/{shown(path)}: {shown(part)!r} on the way is a link or a file, not a folder",
            hint="nothing was read or written through it; look at who put it there, and move it away",
        )


class Cursor:
    """Goes from file to file of a Folder and keeps open where the last one was. For one thread; use it in a `with`."""

    def __init__(self, folder: Folder) -> None:
        """Begin nowhere."""
        self._folder = folder
        self._way: bytes | None = None
        self._descriptor = -1

    def at(self, path: bytes, *, create: bool = False) -> tuple[int, bytes]:
        """Give the descriptor of the folder that `path` lies in, valid until the next call, and the last part."""
        way, _, name = path.rpartition(b"/")
        if way != self._way:
            self.close()
            self._descriptor = self._folder.open_folder(way, create=create)
            self._way = way
        return self._descriptor, name

    def close(self) -> None:
        """Let go of the folder."""
        if self._way is not None:
            os.close(self._descriptor)
            self._way = None

    def __enter__(self) -> Cursor:
        """Use it in a `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def begin_flush(descriptor: int, offset: int = 0, size: int = 0) -> None:
    """Let the disk begin to write a part of a file (size 0: to its end), and do not wait.

    `Folder.flush` will find less to do.
    """
    begin = _libc_function("sync_file_range")
    if begin is not None:
        begin(descriptor, offset, size, _START_WRITING)


@cache
def _libc_function(name: str) -> Callable[..., int] | None:
    """Give a function of the C library that Python has not got; it gives 0 or the number of an error. Linux has both.

    Asked for when it is needed first: a run that finds nothing to do needs none, and loading them takes a while.
    """
    import ctypes

    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is None:
        return None
    offset = ctypes.c_int64
    takes = {"syncfs": (ctypes.c_int,), "sync_file_range": (ctypes.c_int, offset, offset, ctypes.c_uint)}
    function.argtypes = takes[name]

    def call(*values: int) -> int:
        return 0 if function(*values) == 0 else ctypes.get_errno()

    return call


def share_blocks(descriptor: int, old: int) -> None:
    """Make an empty file a copy of another one that takes no room (btrfs, XFS, bcachefs); both go their own way then.

    Raises:
        OSError: the file system cannot, or they are not on the same one.
    """
    fcntl.ioctl(descriptor, _SHARE_BLOCKS, old)


def unavailable(error: OSError, where: str) -> TiersError:
    """Turn an operating system's error into ours, with the cure."""
    reason = error.strerror or str(error)
    return RemoteUnavailableError(
        f"{where}: {reason}", hint=_CURES.get(error.errno or 0, "look at the disk or the mount")
    )
