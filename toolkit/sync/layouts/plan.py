"""What has to happen to a mirror so that it holds what it shall. Pure: entries and facts in, a plan out.

Between `layouts.disk` (what is there) and `layouts.drafts`, `layouts.settle` (which do it). The rules: what a run of
this route wrote may be replaced or deleted; what it did not write is never touched; what it wrote and somebody changed
since is replaced when the source has it, because the source is the truth, and kept when the source has it no more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from toolkit.sync.entry_log import EntryLog
from toolkit.sync.events import FileProblem, file_problem
from toolkit.sync.extras import xattrs_in
from toolkit.sync.hard_links import first_name, is_later_name
from toolkit.sync.layouts.disk import Found, same_time
from toolkit.sync.merge import parents_of
from toolkit.wire.index import Entry, Listing

Owned = Mapping[bytes, tuple[Entry, ...]]
"""What runs of this route wrote at each path: the last state, and one that a run died over."""


@dataclass
class MirrorPlan:
    """Work on a mirror, in the order in which it is done."""

    examine: EntryLog = field(default_factory=EntryLog)
    """Files whose place holds something of unknown content; they become drafts or are fine as they are."""
    drafts: EntryLog = field(default_factory=EntryLog)
    """Files to build."""
    clear: list[bytes] = field(default_factory=list)
    """Paths of ours that make room for another kind, the deepest first."""
    folders: list[Entry] = field(default_factory=list)
    names: list[Entry] = field(default_factory=list)
    """Later names of files with several; linked when the first one is in its place."""
    links: list[Entry] = field(default_factory=list)
    retouch: list[Entry] = field(default_factory=list)
    """Files whose content is there; their mode, time or extended attributes change."""
    remove: list[bytes] = field(default_factory=list)
    """Files and links that the source has no more."""
    remove_folders: list[bytes] = field(default_factory=list)
    """The same for folders, the deepest first; they go if they are empty by then."""
    blocked: set[bytes] = field(default_factory=set)
    """Paths of new entries that stay undone."""
    problems: list[FileProblem] = field(default_factory=list)
    right: set[bytes] = field(default_factory=set)
    """Of `names`, those whose place holds the right content, though maybe in another file."""
    shared: set[bytes] = field(default_factory=set)
    """Files that have one inode with another file that they shall not be one with; they are built anew."""

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        work = (self.examine, self.drafts, self.clear, self.folders, self.links, self.retouch, self.remove)
        return not any(work) and not self.remove_folders and not self.names

    def sort_out_names(self, disk: Mapping[bytes, Found]) -> None:
        """Leave out names that are what they shall be; to be done when everything else is decided."""
        names, self.names = self.names, []
        drafted = {entry.path for entry in self.drafts} if names else set()
        for entry in names:
            first = first_name(entry)
            if first in self.blocked:
                # Nothing can be linked to then: it becomes a file of its own.
                if entry.path not in self.right:
                    self.drafts.append(entry)
            elif first in drafted or not _are_one(disk.get(first), disk.get(entry.path)):
                self.names.append(entry)


def make_plan(
    new: Listing,
    owned: Owned,
    disk: Mapping[bytes, Found],
    *,
    staying: Collection[bytes],
    keep_all: bool,
    check: bool = False,
) -> MirrorPlan:
    """Compare what shall be with what is.

    Args:
        new: what the run brings.
        owned: what runs of this route wrote.
        disk: what lies there.
        staying: paths that are not deleted: those of `new` and those that the target keeps.
        keep_all: nothing may be deleted, not even to make room.
        check: examine every file, also those whose size and time say that they are right.
    """
    return _Planner(new, owned, disk, keep_all=keep_all, check=check).plan(staying)


class _Planner:
    def __init__(
        self, new: Listing, owned: Owned, disk: Mapping[bytes, Found], *, keep_all: bool, check: bool
    ) -> None:
        self._new = new
        self._owned = owned
        self._disk = disk
        self._keep_all = keep_all
        self._check = check
        self._clear: set[bytes] = set()
        self._way: dict[bytes, bytes | None] = {}
        self._inodes: dict[int, bytes] = {}
        """To which file of the index an inode on disk belongs, by its first name."""
        self._plan = MirrorPlan()

    def plan(self, staying: Collection[bytes]) -> MirrorPlan:
        for entry in self._new.entries:
            blocker = self._blocker(entry.path)
            if blocker is not None:
                self._block(entry, blocker)
            elif entry.kind == "file":
                self._file(entry)
            elif entry.kind == "link":
                self._link(entry)
            else:
                self._folder(entry)
        self._removals(staying)
        self._plan.clear = sorted(self._clear, key=_depth, reverse=True)
        return self._plan

    def _file(self, entry: Entry) -> None:
        found = self._disk.get(entry.path)
        if found is None:
            self._build(entry)
        elif found.kind != "file":
            if self._makes_room(entry):
                self._build(entry)
        else:
            self._file_over(entry, found)

    def _file_over(self, entry: Entry, found: Found) -> None:
        name = first_name(entry) or entry.path
        if found.inode and self._inodes.setdefault(found.inode, name) != name:
            self._plan.shared.add(entry.path)
        written = None if self._check else self._as_written(entry.path)
        if written is None:
            self._plan.examine.append(entry)
        elif written.chunks != entry.chunks or entry.path in self._plan.shared:
            self._build(entry)
        elif is_later_name(entry):
            self._plan.right.add(entry.path)
            self._plan.names.append(entry)
        elif not found.looks_like(entry) or xattrs_in(written) != xattrs_in(entry):
            self._plan.retouch.append(entry)

    def _build(self, entry: Entry) -> None:
        if is_later_name(entry):
            self._plan.names.append(entry)
        else:
            self._plan.drafts.append(entry)

    def _link(self, entry: Entry) -> None:
        found = self._disk.get(entry.path)
        if found is not None and found.kind == "link" and found.target == entry.target:
            ours = entry.path in self._owned
            if not ours or not entry.mtime_ns or same_time(found.mtime_ns, entry.mtime_ns):
                return
        if found is None or (found.kind == "link" and entry.path in self._owned) or self._makes_room(entry):
            self._plan.links.append(entry)

    def _folder(self, entry: Entry) -> None:
        found = self._disk.get(entry.path)
        if found is not None and found.kind == "folder":
            written = self._as_written(entry.path)
            has = xattrs_in(written) if written else ()
            if not found.looks_like(entry) or has != xattrs_in(entry):
                self._plan.folders.append(entry)
        elif found is None or self._makes_room(entry):
            self._plan.folders.append(entry)

    def _makes_room(self, entry: Entry) -> bool:
        """Clear a place that holds another kind if all of it is ours; else say what is in the way."""
        inside = self._below(entry.path) if self._disk[entry.path].kind == "folder" else []
        if not self._keep_all and all(self._as_written(path) for path in (entry.path, *inside)):
            self._clear.update((entry.path, *inside))
            return True
        self._block(entry, entry.path)
        return False

    def _blocker(self, path: bytes) -> bytes | None:
        """Give the path above that is no folder and cannot make room; make room where it can be done."""
        for way in reversed(parents_of(path)):
            if way not in self._way:
                self._way[way] = self._check_way(way)
            if self._way[way] is not None:
                return self._way[way]
        return None

    def _check_way(self, way: bytes) -> bytes | None:
        found = self._disk.get(way)
        if found is None or found.kind == "folder" or way in self._clear:
            return None
        if not self._keep_all and self._as_written(way):
            self._clear.add(way)
            return None
        return way

    def _block(self, entry: Entry, blocker: bytes) -> None:
        kind = self._disk[blocker].kind
        reason = f"the target has a {kind} there that this route did not write; move it away"
        if blocker != entry.path:
            reason = f"{blocker.decode('utf-8', 'backslashreplace')}: {reason}"
        self._plan.blocked.add(entry.path)
        self._plan.problems.append(file_problem(entry.path, "in-the-way", reason))

    def _removals(self, staying: Collection[bytes]) -> None:
        for path in self._owned:
            found = self._disk.get(path)
            if path in staying or found is None or path in self._clear:
                continue
            if found.kind == "folder":
                self._plan.remove_folders.append(path)
            elif self._as_written(path):
                self._plan.remove.append(path)
            else:
                reason = "it was changed in the target since; delete it there if nobody needs it"
                self._plan.problems.append(file_problem(path, "kept", reason))
        self._plan.remove_folders.sort(key=_depth, reverse=True)

    def _as_written(self, path: bytes) -> Entry | None:
        """Give the entry that the thing on disk still is, when this route wrote it."""
        found = self._disk[path]
        return next((entry for entry in self._owned.get(path, ()) if found.is_still(entry)), None)

    def _below(self, path: bytes) -> Iterable[bytes]:
        return [other for other in self._disk if other.startswith(path + b"/")]


def _are_one(first: Found | None, other: Found | None) -> bool:
    return first is not None and other is not None and first.inode == other.inode != 0


def _depth(path: bytes) -> tuple[int, bytes]:
    return path.count(b"/"), path
