"""Put what was built into its place in a mirror, and take away what is to go. The last step before the Ref.

After `layouts.drafts`. All data has been flushed before the first rename, so a reader sees an old file or a new one;
replacing happens in one short burst at the end, so a sync that breaks off has changed nothing that people look at.
Files come first, then further names of them, links last: `layouts.lay` does each.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterable, Mapping
from itertools import chain

from toolkit.sync.extras import xattrs_in
from toolkit.sync.folder import FEW, Cursor, Folder
from toolkit.sync.layouts.build import open_draft
from toolkit.sync.layouts.disk import Found
from toolkit.sync.layouts.drafts import Drafts
from toolkit.sync.layouts.lay import Layer
from toolkit.sync.layouts.plan import MirrorPlan
from toolkit.sync.merge import parents_of
from toolkit.sync.read import join
from toolkit.wire.index import Entries, Entry, Listing
from toolkit.wire.tree import as_tree

_USABLE = 0o700


class Settler:
    """Settles one plan in one mirror."""

    def __init__(
        self, folder: Folder, root: bytes, drafts: Drafts, disk: Mapping[bytes, Found], new: Listing
    ) -> None:
        """Work below `root`; `disk` is what the plan was made from, `new` what shall be there."""
        self._folder = folder
        self._root = root
        self._drafts = drafts
        self._disk = disk
        self._folders = {entry.path: entry for entry in new.entries if entry.kind == "folder"}
        self._new = as_tree(new)
        self.layer = Layer(folder, root, drafts, disk)
        """What could not be laid down, and what stands there instead."""
        self._many = False
        """Whether all of the file system was flushed; then what others write is on the disk, and once more is cheap."""

    def finish_drafts(self, done: Entries) -> None:
        """Give drafts their size, attributes, mode and time.

        Raises:
            UnsafePathError: somebody put another file in the place of a draft.
            OSError: the file system refuses.
        """
        with Cursor(self._folder) as cursor:
            for entry in done:
                path = self._drafts.path_of(entry)
                way, name = cursor.at(path)
                if _is_finished(os.stat(name, dir_fd=way, follow_symlinks=False), entry):
                    continue
                descriptor = open_draft(name, way, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    # Longer: an earlier run made it for a longer file. Shorter: it ends with a hole.
                    if os.fstat(descriptor).st_size != entry.size:
                        os.ftruncate(descriptor, entry.size)
                    self.layer.finish(descriptor, entry, fresh=True)
                finally:
                    os.close(descriptor)

    def flush_drafts(self, done: Entries, others: Collection[bytes]) -> None:
        """Bring drafts and other files, by their paths below the storage's root, to the disk.

        Raises:
            OSError: the disk did not take them.
        """
        self._drafts.flushing.wait()
        self._many = len(done) + len(others) > FEW
        if self._many:
            self._folder.flush_all()
        else:
            self._folder.flush([*others, *map(self._drafts.path_of, done)])

    def settle(self, plan: MirrorPlan, done: Entries) -> int:
        """Carry out a plan whose drafts are finished, durably; give the number of files and links that were deleted.

        Raises:
            UnsafePathError: somebody put a link on the way since the plan was made.
            OSError: the file system refuses.
        """
        made = chain(done, plan.names, plan.links, plan.folders)
        self._open_up(chain(plan.clear, plan.remove, (entry.path for entry in made)))
        with self.layer as layer:
            for path in plan.clear:
                self._remove(path)
            for entry in plan.folders:
                layer.folder(entry)
            for entry in done:
                layer.file(entry)
            for entry in plan.names:
                layer.name(entry, right=entry.path in plan.right)
            for entry in plan.links:
                layer.link(entry)
            for entry in plan.retouch:
                layer.retouch(entry)
            deleted = sum(self._remove(path) for path in plan.remove)
            for path in plan.remove_folders:
                self._remove(path)
        self._finish_folders(plan)
        if self._many:
            self._folder.flush_all()
        else:
            there = filter(self._is_folder_still, self.layer.touched)
            self._folder.flush({join(self._root, path) for path in there})
        return deleted

    def _is_folder_still(self, path: bytes) -> bool:
        there = (self._new.get(way) for way in (path, *parents_of(path)) if way)
        return not any(entry is not None and entry.kind != "folder" for entry in there)

    def _open_up(self, changing: Iterable[bytes]) -> None:
        """Let us write in folders of ours that are read-only; `_finish_folders` closes them again."""
        for way in sorted({path.rpartition(b"/")[0] for path in changing}):
            found = self._disk.get(way)
            if found is not None and found.kind == "folder" and found.mode & _USABLE != _USABLE:
                with self._folder.folder(join(self._root, way)) as descriptor:
                    os.fchmod(descriptor, found.mode | _USABLE)
                self.layer.touched.add(way)

    def _remove(self, path: bytes) -> bool:
        """Remove something of ours; a folder stays when others have put something into it. Say whether a file went."""
        try:
            way, name = self.layer.at(path)
            if self._disk[path].kind != "folder":
                os.unlink(name, dir_fd=way)
                return True
            self.layer.rest()  # the folder that we remove may be the one that is open
            with self._folder.parent(join(self._root, path)) as (above, _):
                os.rmdir(name, dir_fd=above)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        return False

    def _finish_folders(self, plan: MirrorPlan) -> None:
        """Give folders what work inside has changed, the deepest first."""
        planned = {entry.path for entry in plan.folders}
        paths = (planned | (self.layer.touched & self._folders.keys())) - self.layer.refused
        for path in sorted(paths, reverse=True):
            entry = self._folders[path]
            self.layer.close_folder(entry, with_xattrs=path in planned or bool(xattrs_in(entry)))


def _is_finished(status: os.stat_result, entry: Entry) -> bool:
    """Say whether `build` has given a draft all that it needs, when it had it open anyway."""
    return (
        entry.extras is None
        and stat.S_ISREG(status.st_mode)
        and status.st_nlink == 1
        and stat.S_IMODE(status.st_mode) == entry.mode
        and (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns)
    )
