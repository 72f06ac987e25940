"""What a plan for a mirror has to look at: everything, or only what changed on either side since the last run. Pure.

Between `layouts.sight`, `wire.tree` and `layouts.plan`. The plan that comes of what changed is the one that comes of
everything: a path that is the same in both indexes, and whose row is the same as when it was last found to be right,
needs nothing. Beside what changed stand the folders around it, and all that lies where a folder makes room.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from toolkit.sync.hard_links import first_name
from toolkit.sync.layouts.disk import Found
from toolkit.sync.layouts.plan import MirrorPlan
from toolkit.sync.layouts.sight import Sight
from toolkit.sync.merge import parents_of
from toolkit.sync.tree_change import differences
from toolkit.wire.index import Entry, Index, Listing
from toolkit.wire.tree import Tree


@dataclass(frozen=True)
class Work:
    """The part of the two indexes and of the disk that a plan is made from."""

    new: Listing = field(default_factory=Index)
    """What shall be there."""
    old: Listing = field(default_factory=Index)
    """What the last run wrote."""
    owned: Mapping[bytes, tuple[Entry, ...]] = field(default_factory=dict)
    """What runs wrote at each path: the last one, and one that died."""
    disk: Mapping[bytes, Found] = field(default_factory=dict)
    is_all: bool = True


def all_of_it(new: Tree, old: Tree, unfinished: Tree, sight: Sight) -> Work:
    """Take everything: what was written last, or found last, is not known to be what is there."""
    owned = {entry.path: (entry,) for entry in old.entries}
    both: dict[bytes, tuple[Entry, ...]] = {**owned}
    for entry in unfinished.entries:
        both[entry.path] = (*both.get(entry.path, ()), entry)
    return Work(new, old, both, dict(sight.all()))


def what_changed(new: Tree, old: Tree, sight: Sight) -> Work | None:
    """Take what changed; None when names of one file are among it, which only make sense together."""
    if any(found.kind == "file" for found in sight.rest.values()):
        return None
    ours: dict[bytes, Entry | None] = {}
    theirs: dict[bytes, Entry | None] = {}
    for was, shall_be in differences(old, new):
        path = (was or shall_be or _NOTHING).path
        if any(entry is not None and first_name(entry) for entry in (was, shall_be)):
            return None
        ours[path], theirs[path] = was, shall_be
    paths = sight.changed() | theirs.keys()
    paths |= {way for path in paths for way in parents_of(path)}
    disk = dict(sight.at(paths))
    for path in tuple(paths):
        shall_be = theirs[path] if path in theirs else new.get(path)
        theirs[path] = shall_be
        is_folder = path in disk and disk[path].kind == "folder"
        if is_folder and shall_be is not None and shall_be.kind != "folder":
            below = set(sight.below(path)) - paths
            paths |= below
            disk.update(sight.at(below))
    for path in paths:
        if path not in ours:
            ours[path] = old.get(path)
        if path not in theirs:
            theirs[path] = new.get(path)
    before = _listed(ours.values())
    owned = {entry.path: (entry,) for entry in before.entries}
    return Work(_listed(theirs.values()), before, owned, disk, is_all=False)


_NOTHING = Entry(b"", "folder", 0, 0, 0)


def _listed(entries: Iterable[Entry | None]) -> Index:
    return Index(entries=tuple(sorted((each for each in entries if each), key=lambda entry: entry.path)))


def touched(plan: MirrorPlan, done: Iterable[Entry], folders: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the paths at which a run has done something, and the folders around them."""
    for entry in chain(done, plan.names, plan.links, plan.retouch, plan.folders):
        yield entry.path
    yield from chain(plan.clear, plan.remove, plan.remove_folders)
    for folder in folders:
        if folder:
            yield folder
            yield from parents_of(folder)


def suspects(index: Tree, work: Work, sight: Sight) -> Iterator[bytes]:
    """Yield the paths that were not found as an index says they are."""
    if not work.is_all:
        yield from sight.changed()
        return
    for entry in index.entries:
        found = work.disk.get(entry.path)
        if found is None or not (found.is_still(entry) and found.looks_like(entry)):
            yield entry.path
