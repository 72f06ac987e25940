"""Lay one thing down in a mirror: a folder, a built file, a further name of it, a link. The hands of `layouts.settle`.

Every step is opened by the one before and follows no link, so nothing is written through a link, whoever made it. What
the file system of the mirror cannot hold is named and left out, and `altered` says what stands there instead.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection
from contextlib import suppress

import msgspec

from toolkit.sync.events import FileProblem, ProblemKind, file_problem
from toolkit.sync.extras import copy_bytes, is_sparse, names_of, write_xattrs, xattrs_in
from toolkit.sync.folder import FOLDER_FLAGS, FOLDER_MODE, READ_FLAGS, Cursor, Folder
from toolkit.sync.hard_links import first_name
from toolkit.sync.layouts.drafts import Drafts
from toolkit.sync.merge import parents_of
from toolkit.sync.read import join
from toolkit.wire.extras import extras_of
from toolkit.wire.index import Entry
from toolkit.wire.paths import shown

_OURS = 0o600
_NO_SUCH_NAME = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
"""The file system has no such names: too long for it, or of bytes that it does not take."""
_CANNOT = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""It has no such thing as this link, or no more of them."""
_SPELLING = (
    "the target's file system takes this name and another one, which was put there first, for the same"
)
_MEANWHILE = "something came there while the run was at work; move it away"


class Layer:
    """Lays things down below a root. For one thread; used in a `with`."""

    def __init__(self, folder: Folder, root: bytes, drafts: Drafts, known: Collection[bytes]) -> None:
        """Work below `root`; `known` are the paths that were there when the plan was made."""
        self._folder = folder
        self._root = root
        self._drafts = drafts
        self._known = known
        self._here = Cursor(folder)
        self._there = Cursor(folder)
        self.touched: set[bytes] = set()
        """Folders whose time has changed by what was done in them."""
        self.refused: set[bytes] = set()
        """Paths that could not be put in place."""
        self.altered: dict[bytes, Entry] = {}
        """Entries as they stand there, where that is not all that was wanted."""
        self.problems: list[FileProblem] = []

    def __enter__(self) -> Layer:
        """Use it in a `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of folders."""
        self.rest()

    def rest(self) -> None:
        """Let go of the folders that are open, one of which may be about to go."""
        self._here.close()
        self._there.close()

    def at(self, path: bytes, *, create: bool = False) -> tuple[int, bytes]:
        """Give the folder that something is about to be done in, valid until the next call, and the name in it."""
        self.touched.add(path.rpartition(b"/")[0])
        return self._here.at(join(self._root, path), create=create)

    def finish(self, descriptor: int, entry: Entry, mode: int | None = None, *, fresh: bool = False) -> None:
        """Give an open file or folder its attributes, mode and time.

        Args:
            descriptor: what is open.
            entry: what it shall be.
            mode: the bits, when they are not those of the entry.
            fresh: it cannot have attributes yet.
        """
        mode = entry.mode if mode is None else mode
        wanted = xattrs_in(entry)
        if wanted or not fresh:
            os.fchmod(descriptor, mode | _OURS)  # attributes are written by who may write the file
            kept = write_xattrs(descriptor, wanted)
            if kept != wanted:
                lost = names_of(each for each in wanted if each not in kept)
                self._tell(entry.path, f"the target's file system did not take {lost}; all else is there")
                self._alter(entry, xattrs=kept)
        os.fchmod(descriptor, mode)
        os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))

    # ------------------------------------------------------------ one thing each
    def folder(self, entry: Entry) -> None:
        """Make a folder; one that is there is as good."""
        if self._may(entry.path, also_folder=True):
            with self._named(entry.path):
                way, name = self.at(entry.path, create=True)
                with suppress(FileExistsError):
                    os.mkdir(name, FOLDER_MODE, dir_fd=way)

    def file(self, entry: Entry) -> None:
        """Rename a draft into its place."""
        if self._may(entry.path):
            with self._named(entry.path):
                from_way, from_name = self._there.at(self._drafts.path_of(entry))
                way, name = self.at(entry.path, create=True)
                os.rename(from_name, name, src_dir_fd=from_way, dst_dir_fd=way)

    def name(self, entry: Entry, *, right: bool) -> None:
        """Give a file that is in its place a further name; a copy where there cannot be one.

        Args:
            entry: the further name.
            right: what lies at its place has the right content; it stays when the name cannot be given.
        """
        first = first_name(entry)
        if first in self.refused:
            self._refuse(entry.path, "unfit", "its first name could not be put in place")
        elif self._may(entry.path):
            with self._named(entry.path):
                self._name(entry, first, right=right)

    def link(self, entry: Entry) -> None:
        """Make a link where drafts are and rename it, so that an old one is replaced in one step."""
        if not self._may(entry.path):
            return
        with self._named(entry.path):
            from_way, draft = self._free_draft(entry)
            try:
                os.symlink(entry.target, draft, dir_fd=from_way)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
                self._refuse(
                    entry.path, "unfit", f"the target's file system makes no links: {error.strerror}"
                )
                return
            if entry.mtime_ns:
                os.utime(draft, ns=(entry.mtime_ns,) * 2, dir_fd=from_way, follow_symlinks=False)
            way, name = self.at(entry.path, create=True)
            os.rename(draft, name, src_dir_fd=from_way, dst_dir_fd=way)

    def retouch(self, entry: Entry) -> None:
        """Give a file that has its content the rest."""
        way, name = self._here.at(join(self._root, entry.path))
        descriptor = os.open(name, READ_FLAGS, dir_fd=way)
        try:
            self.finish(descriptor, entry)
        finally:
            os.close(descriptor)

    def close_folder(self, entry: Entry, *, with_xattrs: bool) -> None:
        """Give a folder its mode and time, because work inside has changed them; attributes only when it is new."""
        with suppress(FileNotFoundError), self._folder.parent(join(self._root, entry.path)) as (way, name):
            descriptor = os.open(name, FOLDER_FLAGS, dir_fd=way)
            try:
                special = os.fstat(descriptor).st_mode & 0o7000  # a group that is inherited, for example
                if with_xattrs:
                    self.finish(descriptor, entry, entry.mode | special)
                else:
                    os.fchmod(descriptor, entry.mode | special)
                    os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
            finally:
                os.close(descriptor)

    def _name(self, entry: Entry, first: bytes, *, right: bool) -> None:
        way, name = self.at(first)
        if not stat.S_ISREG(os.stat(name, dir_fd=way, follow_symlinks=False).st_mode):
            self._refuse(entry.path, "in-the-way", f"its first name is not a file any more; {_MEANWHILE}")
            return
        drafts, draft = self._free_draft(entry)
        try:
            os.link(name, draft, src_dir_fd=way, dst_dir_fd=drafts, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            self._tell(
                entry.path,
                f"no hard link to {shown(first)!r} could be made there: {error.strerror}; it is a copy",
            )
            self._alter(entry, same=b"")
            if right:
                return
            self._copy(entry, (way, name), (drafts, draft))
        way, name = self.at(entry.path, create=True)
        os.rename(draft, name, src_dir_fd=drafts, dst_dir_fd=way)
        with suppress(FileNotFoundError):  # renaming onto another name of the same file does nothing
            os.unlink(draft, dir_fd=drafts)

    def _copy(self, entry: Entry, old: tuple[int, bytes], new: tuple[int, bytes]) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        source = os.open(old[1], READ_FLAGS, dir_fd=old[0])
        try:
            target = os.open(new[1], flags, _OURS, dir_fd=new[0])
            try:
                copy_bytes(source, target, sparse=is_sparse(entry))
                self.finish(target, entry, fresh=True)
                os.fsync(target)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _free_draft(self, entry: Entry) -> tuple[int, bytes]:
        """Give a place among the drafts where nothing is."""
        way, draft = self._there.at(self._drafts.path_of(entry), create=True)
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=way)
        return way, draft

    # ------------------------------------------------------------ what cannot be
    def _may(self, path: bytes, *, also_folder: bool = False) -> bool:
        """Say whether a place is ours to fill; if it was free when we looked and is not any more, refuse it."""
        if self.refused and any(way in self.refused for way in parents_of(path)):
            self.refused.add(path)  # what it lies in has been named
            return False
        if path in self._known:
            return True
        try:
            way, name = self._here.at(join(self._root, path))
            mode = os.stat(name, dir_fd=way, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return True
        except OSError as error:
            return error.errno in _NO_SUCH_NAME  # `_named` will say so
        with os.scandir(way) as items:
            if not any(os.fsencode(item.name) == name for item in items):
                self._refuse(path, "unfit", _SPELLING)
                return False
        if also_folder and stat.S_ISDIR(mode):
            return True
        self._refuse(path, "in-the-way", _MEANWHILE)
        return False

    def _named(self, path: bytes) -> _Naming:
        return _Naming(self, path)

    def refuse_name(self, path: bytes, error: OSError) -> bool:
        """Take note that the file system has no such name, if that is what the error says."""
        if error.errno not in _NO_SUCH_NAME:
            return False
        self._refuse(path, "unfit", f"the target's file system does not take this name: {error.strerror}")
        return True

    def _refuse(self, path: bytes, kind: ProblemKind, reason: str) -> None:
        self.refused.add(path)
        self.problems.append(file_problem(path, kind, reason))

    def _tell(self, path: bytes, reason: str) -> None:
        self.problems.append(file_problem(path, "unfit", reason))

    def _alter(self, entry: Entry, **changes: object) -> None:
        entry = self.altered.get(entry.path, entry)
        old = entry.extras
        parts = {"holes": old.holes, "same": old.same, "xattrs": old.xattrs} if old is not None else {}
        extras = extras_of(**{**parts, **changes})  # type: ignore[arg-type]
        self.altered[entry.path] = msgspec.structs.replace(entry, extras=extras)


class _Naming:
    """Turns "there are no such names here" into a problem of one path; everything else goes on."""

    def __init__(self, layer: Layer, path: bytes) -> None:
        self._layer = layer
        self._path = path

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> bool:
        """Swallow the error if the path was refused for it."""
        return isinstance(error, OSError) and self._layer.refuse_name(self._path, error)
