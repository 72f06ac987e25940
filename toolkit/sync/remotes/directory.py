"""A Remote in a folder of this machine, or of a file system that is mounted here (NFS, Lustre, CephFS).

An object is written to `.incoming/`, flushed, renamed to its place, and the folder is flushed: a reader or a loss of
power sees all of it or nothing. Keys cannot begin with a dot, so a draft never looks like an object.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from toolkit.errors import IntegrityError, MissingObjectError, TiersError
from toolkit.sync.folder import Folder, unavailable
from toolkit.sync.remotes.remote import MAX_OBJECT_BYTES, Found, check_key, check_prefix

_DRAFTS = b".incoming"
_FORGOTTEN_SECONDS = 60.0
"""A draft that nobody holds a lock on and that is so old was left by a writer that died."""


class DirectoryRemote:
    """Objects as files below one folder."""

    def __init__(self, path: str, *, create: bool = False) -> None:
        """Open the folder.

        Args:
            path: where it is.
            create: make it when it is missing. Off by default: an empty mount point must not be filled.

        Raises:
            RemoteUnavailableError: it is not there or cannot be used.
        """
        if create:
            try:
                Path(path).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise unavailable(error, path) from error
        self._folder = Folder(path)
        self._cleaned = False

    @property
    def url(self) -> str:
        """Where it is."""
        return Path(self._folder.path).absolute().as_uri()

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, limit: int = MAX_OBJECT_BYTES
    ) -> bytes:
        """Give the bytes of an object; see `Remote.read`."""
        with self._explained(key), self._folder.parent(check_key(key).encode()) as (folder, name):
            descriptor = os.open(
                name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder
            )
            try:
                facts = os.fstat(descriptor)
                if not stat.S_ISREG(facts.st_mode):
                    raise IntegrityError(f"{self.url}/{key} is not a plain file")
                wanted = max(0, facts.st_size - start)
                if length is not None:
                    wanted = min(wanted, length)
                if wanted > limit:
                    raise IntegrityError(f"{self.url}/{key}: {wanted} bytes to read; at most {limit} are")
                return _read_all(descriptor, start, wanted)
            finally:
                os.close(descriptor)

    def write(self, key: str, data: bytes) -> None:
        """Store an object whole; see `Remote.write`."""
        with self._draft(key, data) as (drafts, draft):
            self._put(drafts, draft, key)

    def write_new(self, key: str, data: bytes) -> bool:
        """Store an object unless it is there; see `Remote.write_new`."""
        if self.exists(key):
            return False
        with (
            self._draft(key, data) as (drafts, draft),
            self._folder.parent(key.encode(), create=True) as (folder, name),
        ):
            try:
                os.link(draft, name, src_dir_fd=drafts, dst_dir_fd=folder, follow_symlinks=False)
            except FileExistsError:
                return False
            os.fsync(folder)
        return True

    def exists(self, key: str) -> bool:
        """Say whether there is such an object."""
        try:
            with self._explained(key), self._folder.parent(check_key(key).encode()) as (folder, name):
                return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
        except MissingObjectError:
            return False

    def list(self, prefix: str = "") -> Iterator[Found]:
        """Yield keys and sizes in the order of the keys; see `Remote.list`."""
        yield from self._walk(check_prefix(prefix))

    def delete(self, key: str) -> bool:
        """Remove an object; say whether it was there."""
        try:
            with self._explained(key), self._folder.parent(check_key(key).encode()) as (folder, name):
                os.unlink(name, dir_fd=folder)
                os.fsync(folder)
        except MissingObjectError:
            return False
        return True

    @contextmanager
    def laid_out(
        self, objects: Iterable[tuple[str, bytes]], *, last: tuple[str, bytes] | None = None
    ) -> Iterator[tuple[bytes, ...]]:
        """Store new objects together, so that the disk is waited for once, by whoever uses this in a `with`.

        Inside of it their bytes lie in drafts that are given as paths below the folder and must be brought to the disk
        there (`Folder.flush`); at its end they get their keys, durably. When it is left by an error nothing is stored.

        Args:
            objects: keys, of which each is new or has the same bytes as what is there, and bytes; at most some dozens,
                because each keeps a file open.
            last: an object that names the others. It gets its key when they have theirs on the disk, in one step, in
                the place of what may be there.
        """
        with ExitStack() as stack:
            with self._explained("objects", reading=False):
                drafts = [
                    (key, *stack.enter_context(self._draft(key, data, flush=False))) for key, data in objects
                ]
            final = () if last is None else (stack.enter_context(self._draft(*last, flush=False)),)
            yield tuple(_DRAFTS + b"/" + name for _, name in (*(each[1:] for each in drafts), *final))
            folders: dict[bytes, int] = {}
            with self._explained("objects", reading=False):
                for key, way, draft in drafts:
                    at, _, name = key.encode().rpartition(b"/")
                    if at not in folders:
                        folders[at] = stack.enter_context(self._folder.folder(at, create=True))
                    with suppress(FileExistsError):
                        os.link(draft, name, src_dir_fd=way, dst_dir_fd=folders[at], follow_symlinks=False)
                for folder in folders.values():
                    os.fsync(folder)
            for way, draft in final:
                self._put(way, draft, last[0] if last else "")

    def move(self, key: str, onto: str) -> None:
        """Give an object another key, durably and in one step, in the place of what may be there.

        Raises:
            MissingObjectError: there is none.
            RemoteUnavailableError: the disk refuses.
        """
        with self._explained(key), self._folder.parent(check_key(key).encode()) as (way, name):
            self._put(way, name, onto)

    def _put(self, way: int, draft: bytes, key: str) -> None:
        """Rename what has been brought to the disk to its key, durably."""
        with (
            self._explained(key, reading=False),
            self._folder.parent(check_key(key).encode(), create=True) as (folder, name),
        ):
            os.rename(draft, name, src_dir_fd=way, dst_dir_fd=folder)
            os.fsync(folder)

    def flush(self, paths: Collection[bytes]) -> None:
        """Bring what was laid out to the disk; see `laid_out`."""
        with self._explained("objects", reading=False):
            self._folder.flush(paths)

    def delete_all(self, keys: Iterable[str]) -> None:
        """Remove objects, those that are there; the disk is waited for once."""
        folders: dict[bytes, int] = {}
        with ExitStack() as stack:
            for key in keys:
                at, _, name = check_key(key).encode().rpartition(b"/")
                with suppress(MissingObjectError), self._explained(key):
                    if at not in folders:
                        folders[at] = stack.enter_context(self._folder.folder(at))
                    os.unlink(name, dir_fd=folders[at])
            with self._explained("objects", reading=False):
                for folder in folders.values():
                    os.fsync(folder)

    def _walk(self, prefix: str) -> Iterator[Found]:
        found: list[tuple[str, os.stat_result | None]] = []
        try:
            with (
                self._explained(prefix),
                self._folder.folder(prefix.rstrip("/").encode()) as folder,
                os.scandir(folder) as entries,
            ):
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        found.append((entry.name + "/", None))
                    elif entry.is_file(follow_symlinks=False):
                        # An object that is deleted while we list was not there.
                        with suppress(FileNotFoundError):
                            found.append((entry.name, entry.stat(follow_symlinks=False)))
        except MissingObjectError:
            return
        for name, facts in sorted(found, key=lambda each: each[0]):
            if facts is None:
                yield from self._walk(prefix + name)
            else:
                yield Found(prefix + name, facts.st_size, facts.st_mtime_ns // 1_000_000)

    @contextmanager
    def _draft(self, key: str, data: bytes, *, flush: bool = True) -> Iterator[tuple[int, bytes]]:
        """Write the bytes beside their place and flush them; remove what is left of it whatever happens."""
        check_key(key)
        name = f"{os.getpid()}-{os.urandom(8).hex()}".encode()
        with self._explained(key, reading=False), self._folder.folder(_DRAFTS, create=True) as drafts:
            self._clean(drafts)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(name, flags, 0o644, dir_fd=drafts)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                _write_all(descriptor, data)
                if flush:
                    os.fsync(descriptor)
                yield drafts, name
            finally:
                with suppress(FileNotFoundError):  # `write` has renamed it
                    os.unlink(name, dir_fd=drafts)
                os.close(descriptor)

    def _clean(self, drafts: int) -> None:
        """Remove, once, what writers left behind that were killed."""
        if self._cleaned:
            return
        self._cleaned = True
        for name in os.listdir(drafts):
            with suppress(OSError):
                facts = os.stat(name, dir_fd=drafts, follow_symlinks=False)
                if time.time() - facts.st_mtime > _FORGOTTEN_SECONDS and not _is_held(drafts, name):
                    os.unlink(name, dir_fd=drafts)

    @contextmanager
    def _explained(self, key: str, *, reading: bool = True) -> Iterator[None]:
        try:
            yield
        except TiersError:
            raise
        except OSError as error:
            if reading and error.errno == errno.ENOENT:
                raise MissingObjectError(f"{self.url} has no {key or 'folder'}") from error
            if error.errno == errno.ELOOP:
                raise IntegrityError(f"{self.url}/{key} is a link; objects are plain files") from error
            raise unavailable(error, f"{self.url}/{key}") from error


def _is_held(drafts: int, name: str) -> bool:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=drafts)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _read_all(descriptor: int, start: int, length: int) -> bytes:
    pieces: list[bytes] = []
    while length > 0:
        piece = os.pread(descriptor, length, start)
        if not piece:
            break
        pieces.append(piece)
        start += len(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
