"""Put what was built into its place in a mirror, and take away what is to go. The last step before the Ref.

After `layouts.drafts`. All data has been flushed before the first rename, so a reader sees an old file or a new one;
replacing happens in one short burst at the end, so a sync that breaks off has changed nothing that people look at.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from toolkit.sync.folder import FOLDER_FLAGS, FOLDER_MODE, READ_FLAGS, Cursor, Folder
from toolkit.sync.layouts.disk import Found
from toolkit.sync.layouts.drafts import Drafts
from toolkit.sync.layouts.plan import MirrorPlan
from toolkit.sync.merge import parents_of
from toolkit.sync.read import join
from toolkit.wire.index import Entry, Index

_USABLE = 0o700


def finish_drafts(folder: Folder, drafts: Drafts, done: Collection[Entry]) -> None:
    """Give drafts their size, time and mode, and bring them to the disk."""
    paths = [drafts.path_of(entry) for entry in done]
    with Cursor(folder) as cursor:
        for entry, path in zip(done, paths, strict=True):
            way, name = cursor.at(path)
            _cut_off(name, way, entry.size)
            os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=way, follow_symlinks=False)
            os.chmod(name, entry.mode, dir_fd=way)
    folder.flush(paths)


class Settler:
    """Settles one plan in one mirror."""

    def __init__(
        self, folder: Folder, root: bytes, drafts: Drafts, disk: Mapping[bytes, Found], new: Index
    ) -> None:
        """Work below `root`; `disk` is what the plan was made from, `new` what shall be there."""
        self._folder = folder
        self._root = root
        self._drafts = drafts
        self._disk = disk
        self._folders = {entry.path: entry for entry in new.entries if entry.kind == "folder"}
        self._others = {entry.path for entry in new.entries if entry.kind != "folder"}
        self._touched: set[bytes] = set()
        """Folders whose time has changed by what was done in them."""

    def settle(self, plan: MirrorPlan, done: Iterable[Entry]) -> int:
        """Carry out a plan whose drafts are finished, durably; give the number of files and links that were deleted.

        Raises:
            UnsafePathError: somebody put a link on the way since the plan was made.
            OSError: the file system refuses.
        """
        done = list(done)
        changing = [*plan.clear, *plan.remove, *(entry.path for entry in (*done, *plan.links, *plan.folders))]
        self._open_up(changing)
        with Cursor(self._folder) as cursor:
            for path in plan.clear:
                self._remove(path, cursor)
            for entry in plan.folders:
                self._make_folder(entry, cursor)
            self._place(done, cursor)
            for entry in plan.links:
                self._link(entry, cursor)
            for entry in plan.retouch:
                self._retouch(entry, cursor)
            deleted = sum(self._remove(path, cursor) for path in plan.remove)
            for path in plan.remove_folders:
                self._remove(path, cursor)
        self._finish_folders(plan)
        self._folder.flush({join(self._root, path) for path in self._touched if self._is_folder_still(path)})
        return deleted

    def _is_folder_still(self, path: bytes) -> bool:
        return not any(way in self._others for way in (path, *parents_of(path)))

    def _at(self, path: bytes, cursor: Cursor, *, create: bool = False) -> tuple[int, bytes]:
        self._touched.add(path.rpartition(b"/")[0])
        return cursor.at(join(self._root, path), create=create)

    def _open_up(self, changing: Iterable[bytes]) -> None:
        """Let us write in folders of ours that are read-only; `_finish_folders` closes them again."""
        for way in sorted({path.rpartition(b"/")[0] for path in changing}):
            found = self._disk.get(way)
            if found is not None and found.kind == "folder" and found.mode & _USABLE != _USABLE:
                with self._folder.folder(join(self._root, way)) as descriptor:
                    os.fchmod(descriptor, found.mode | _USABLE)
                self._touched.add(way)

    def _make_folder(self, entry: Entry, cursor: Cursor) -> None:
        way, name = self._at(entry.path, cursor, create=True)
        with suppress(FileExistsError):
            os.mkdir(name, FOLDER_MODE, dir_fd=way)

    def _place(self, done: Iterable[Entry], cursor: Cursor) -> None:
        with Cursor(self._folder) as drafts:
            for entry in done:
                from_way, from_name = drafts.at(self._drafts.path_of(entry))
                way, name = self._at(entry.path, cursor, create=True)
                os.rename(from_name, name, src_dir_fd=from_way, dst_dir_fd=way)

    def _link(self, entry: Entry, cursor: Cursor) -> None:
        """Make a link where drafts are and rename it, so that an old one is replaced in one step."""
        with self._folder.parent(self._drafts.path_of(entry), create=True) as (from_way, draft):
            with suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=from_way)
            os.symlink(entry.target, draft, dir_fd=from_way)
            way, name = self._at(entry.path, cursor, create=True)
            os.rename(draft, name, src_dir_fd=from_way, dst_dir_fd=way)

    def _retouch(self, entry: Entry, cursor: Cursor) -> None:
        way, name = cursor.at(join(self._root, entry.path))
        descriptor = os.open(name, READ_FLAGS, dir_fd=way)
        try:
            os.fchmod(descriptor, entry.mode)
            os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(descriptor)

    def _remove(self, path: bytes, cursor: Cursor) -> bool:
        """Remove something of ours; a folder stays when others have put something into it. Say whether a file went."""
        try:
            way, name = self._at(path, cursor)
            if self._disk[path].kind != "folder":
                os.unlink(name, dir_fd=way)
                return True
            cursor.close()  # the folder that we remove may be the one that is open
            with self._folder.parent(join(self._root, path)) as (above, _):
                os.rmdir(name, dir_fd=above)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        return False

    def _finish_folders(self, plan: MirrorPlan) -> None:
        """Give folders their mode and time, the deepest first, because work inside has changed them."""
        paths = {entry.path for entry in plan.folders} | (self._touched & self._folders.keys())
        for path in sorted(paths, reverse=True):
            entry = self._folders[path]
            with suppress(FileNotFoundError), self._folder.parent(join(self._root, path)) as (way, name):
                descriptor = os.open(name, FOLDER_FLAGS, dir_fd=way)
                try:
                    special = os.fstat(descriptor).st_mode & 0o7000  # a group that is inherited, for example
                    os.fchmod(descriptor, entry.mode | special)
                    os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
                finally:
                    os.close(descriptor)


def _cut_off(name: bytes, way: int, size: int) -> None:
    """Shorten a draft that an earlier run made for a longer file."""
    if os.stat(name, dir_fd=way, follow_symlinks=False).st_size <= size:
        return
    descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=way)
    try:
        os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)
