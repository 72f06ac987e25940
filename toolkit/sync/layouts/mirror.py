"""The layout "mirror": files as they are, and beside them in `.tiers/` what each route wrote.

    .tiers/indexes/DIGEST               what a route wrote, as an index
    .tiers/refs/routes/ROUTE/head       which index; written last
    .tiers/refs/routes/ROUTE/next       the same, while files are being put in place; then it becomes the head
    .tiers/partial/ROUTE/…              files that are being built (`layouts.drafts`)
    .tiers/scan.sqlite                  what `scan` remembers of this storage

The last index says which chunks the mirror holds and where, so only others move; nothing of it is believed without
reading. `layouts.disk` looks, `layouts.plan` decides, `layouts.drafts` builds, `layouts.settle` puts in place.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType

import msgspec

from toolkit.errors import (
    SyncError,
    UnsafePathError,
)
from toolkit.sync.chunk_source import ChunkSource, FolderSource, PackSource
from toolkit.sync.entry_log import EntryLog
from toolkit.sync.events import Listener, Moved, file_problem
from toolkit.sync.extras import TooManyXattrsError, read_xattrs, xattrs_in
from toolkit.sync.folder import READ_FLAGS, Cursor, Folder, unavailable
from toolkit.sync.hard_links import as_altered, first_name, is_later_name
from toolkit.sync.layouts.disk import SIDECAR
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.layouts.drafts import Drafts
from toolkit.sync.layouts.early import EarlyDrafts
from toolkit.sync.layouts.needs import Needs
from toolkit.sync.layouts.pieces import Place
from toolkit.sync.layouts.plan import MirrorPlan, make_plan
from toolkit.sync.layouts.settle import Settler
from toolkit.sync.layouts.sight import Sight
from toolkit.sync.layouts.states import NOTHING, drop_state, index_laid_out, lock_route, read_tree_if_whole
from toolkit.sync.layouts.work import Work, all_of_it, suspects, touched, what_changed
from toolkit.sync.merge import merged, placed, without
from toolkit.sync.pace import Pace
from toolkit.sync.read import Tap, join
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.route_refs import ref_root
from toolkit.sync.target import Committed, Filled, Plan, Wish
from toolkit.sync.task import SyncTask
from toolkit.wire.digest import Digest
from toolkit.wire.index import Entry, Index, Listing
from toolkit.wire.tree import Tree, as_tree

_FREELY_DELETED = 10
"""So few files may go without a word, whatever share they are."""


class MirrorTarget:
    """A folder with browsable files as the target of a route."""

    WINDOW_PIECES = 32_768
    """So many chunks are sorted out at a time: some 40 MB of memory."""

    def __init__(self, path: str, task: SyncTask, *, dry_run: bool = False) -> None:
        """Open the folder and keep other runs of the same route out.

        Args:
            path: root of the storage.
            task: what is carried out.
            dry_run: only `plan` will be asked for; nothing is made or locked.

        Raises:
            RemoteUnavailableError: it is not there, or cannot be written.
            SyncError: another run of the route is at work.
        """
        self._path = path
        self._folder = Folder(path)
        self._task = task
        self._root = join(task.path.encode(), task.origin.encode())
        self._refs = ref_root(task)
        self._guard = -1 if dry_run else lock_route(self._folder, task.route, self._refs)
        sidecar = Path(path) / os.fsdecode(SIDECAR)
        self._sidecar = DirectoryRemote(str(sidecar)) if not dry_run or sidecar.is_dir() else None
        self._documents = Documents(self._sidecar) if self._sidecar is not None else None
        self._drafts = Drafts(self._folder, join(SIDECAR, b"partial/" + self._refs.encode()), self.url)
        self._wish = Wish(Index())
        self._head: Ref | None = None
        self._next: Ref | None = None
        self._old = NOTHING
        self._sight = Sight(
            self._folder,
            self._root,
            None if dry_run else str(sidecar / "seen.sqlite"),
            self._refs,
            self._guard,
        )
        self._work = Work()
        self._plan = MirrorPlan()
        self._needs: Needs | None = None
        self._told: set[bytes] = set()
        """Files whose drafts were written early and have been counted."""

    @property
    def url(self) -> str:
        """Where it is."""
        return Path(self._path).absolute().as_uri()

    def tap(self) -> Tap | None:
        """Give who takes large files while they are scanned; nobody once the route has brought something here."""
        if self._guard < 0 or self._read_state("head")[0] is not None:
            return None
        return EarlyDrafts(self._folder, self._root, self._drafts)

    def begin_look(self) -> None:
        """Begin to look at what is here, while the source is scanned."""
        self._sight.begin()

    def held(self) -> Listing:
        """Give what the route has written here.

        Raises:
            SyncError: nothing yet.
        """
        head, index = self._read_state("head")
        if head is None:
            hint = f"tiers sync run {self._task.route}"
            raise SyncError(f"route {self._task.route} has brought nothing to {self._path} yet", hint=hint)
        return index

    def plan(self, wish: Wish) -> Plan:
        """Compare the mirror with what it shall hold; see `Target.plan`."""
        self._wish = wish
        new = as_tree(wish.new)
        if not self._root and any(entry.path.partition(b"/")[0] == SIDECAR for entry in new.near(SIDECAR)):
            raise UnsafePathError(
                f"{self._path}: the source has a {SIDECAR.decode()} folder, which is ours alone"
            )
        self._head, self._old = self._read_state("head")
        self._next, unfinished = self._read_state("next")
        try:
            self._sight.look()
        except OSError as error:
            raise unavailable(error, self._path) from error
        self._work = work = self._find_work(new, unfinished)
        staying: set[bytes] = set()
        if work.owned:
            after = merged(work.new, work.old, left_out=wish.left_out, keep_all=wish.keep_all)
            staying = {entry.path for entry in after.entries}
        self._plan = make_plan(
            work.new, work.owned, work.disk, staying=staying, keep_all=wish.keep_all, check=wish.check
        )
        deletions = len(self._plan.remove) + sum(
            work.disk[path].kind != "folder" for path in self._plan.clear
        )
        self._guard_deletions(deletions)
        have = self._examine(work.owned)
        self._needs = Needs(
            self._folder,
            self._root,
            self._drafts,
            entries=self._plan.drafts,
            work=work,
            old=self._old,
            have=have,
            window_pieces=self.WINDOW_PIECES,
        )
        chunks, total_bytes = self._needs.count()
        early = self._came_early()
        return Plan(
            chunks + len(early),
            total_bytes + sum(early.values()),
            len(self._plan.drafts) + len(self._plan.names),
            deletions,
        )

    def fill(self, source: ChunkSource, pace: Pace, listen: Listener) -> Filled:
        """Build the files that change; see `Target.fill`."""
        needs = self._needs
        if needs is None or not self._plan.drafts:
            return Filled()
        try:
            with self._folder.folder(join(SIDECAR, b"partial/" + self._refs.encode()), create=True):
                needs.check_space()
            filled = Filled()
            for window in needs.windows():
                digests = {ref.digest for entry in window for ref in entry.refs()}
                if isinstance(source, FolderSource):
                    source.expect(digests, files=window)
                else:
                    source.expect(digests)
                lacks = needs.of(window)
                if isinstance(source, PackSource) and not pace.may_limit:
                    source.read_ahead(lacks.moving)
                filled += self._drafts.fill(lacks, source, pace, listen)
        except OSError as error:
            raise unavailable(error, self._path) from error
        if early := self._came_early():
            self._told.update(self._drafts.early)
            came = sum(early.values())
            listen(Moved(self.url, len(early), came, came))
            filled = replace(
                filled,
                chunks=filled.chunks + len(early),
                total_bytes=filled.total_bytes + came,
                stored_bytes=filled.stored_bytes + came,
            )
        return filled

    def commit(self, torn: Collection[bytes]) -> Committed:
        """Put files in place, delete what is to go, write the Ref; see `Target.commit`."""
        undone = self._plan.blocked | set(torn)
        undone |= {entry.path for entry in self._plan.names if first_name(entry) in undone}
        index = self._laid(undone)
        digest = index.digest
        problems = tuple(self._plan.problems)
        if (
            self._plan.is_idle
            and self._next is None
            and self._head is not None
            and self._head.digest == digest
        ):
            self._sight.remember(index, (), suspects(index, self._work, self._sight))
            return Committed(problems=problems)
        drafts = self._plan.drafts
        done = EntryLog(entry for entry in drafts if entry.path not in undone) if undone else drafts
        ref = Ref(
            kind="index",
            digest=digest,
            path=self._task.path,
            sequence=self._head.sequence + 1 if self._head else 1,
        )
        documents, sidecar = self._documents, self._sidecar
        if documents is None or sidecar is None:
            raise ValueError("a dry run cannot be committed")
        try:
            self._plan.names = [entry for entry in self._plan.names if entry.path not in undone]
            new = without(self._work.new, undone)
            settler = Settler(self._folder, self._root, self._drafts, self._work.disk, new)
            settler.finish_drafts(done)
            with index_laid_out(documents, sidecar, index, f"{self._refs}/next", ref) as parts:
                settler.flush_drafts(done, [join(SIDECAR, part) for part in parts])
            # From here on a run that dies leaves files of two states; the two Refs say what is ours of both.
            deleted = settler.settle(self._plan, done)
        except OSError as error:
            raise unavailable(error, self._path) from error
        planned, layer = digest, settler.layer
        left: str | None = None
        if layer.refused or layer.altered:
            # The Ref says what stands there, so that what is missing is tried, and named, again.
            left = f"{self._refs}/next"
            digest = documents.put_index(self._laid(undone | layer.refused, layer.altered))
            if self._head is None or digest != self._head.digest:
                documents.write_ref(f"{self._refs}/head", msgspec.structs.replace(ref, digest=digest))
        else:
            sidecar.move(f"refs/{self._refs}/next", f"refs/{self._refs}/head")
        stay = {self._drafts.path_of(entry) for entry in self._plan.drafts if entry.path in torn}
        self._drafts.discard(self._drafts.names() - {path.rpartition(b"/")[2] for path in stay})
        known = {planned, *(ref.digest for ref in (self._head, self._next) if ref is not None)}
        drop_state(documents, sidecar, left, known - {digest})
        if not layer.refused and not layer.altered:
            self._sight.remember(
                index, touched(self._plan, done, layer.touched), suspects(index, self._work, self._sight)
            )
        written = sum(entry.path not in layer.refused for entry in chain(done, self._plan.names))
        return Committed(written, deleted, changed=True, problems=(*problems, *layer.problems))

    def _laid(self, undone: Collection[bytes], altered: Mapping[bytes, Entry] = MappingProxyType({})) -> Tree:
        """Give what the mirror holds when all of the wish is done but some paths, and some entries are others."""
        wished = self._wish.new
        if altered:
            wished = Index(entries=tuple(as_altered(entry, altered) for entry in wished.entries))
        left_out = self._wish.left_out | frozenset(undone)
        new = without(wished, undone)
        return as_tree(merged(new, self._old, left_out=left_out, keep_all=self._wish.keep_all))

    def read_back(self, entries: Collection[Entry]) -> frozenset[bytes]:
        """Read files again; see `Target.read_back`."""
        bad: set[bytes] = set()
        with Cursor(self._folder) as cursor:
            for entry in entries:
                if not self._is_whole(entry, cursor):
                    bad.add(entry.path)
        return frozenset(bad)

    def close(self) -> None:
        """Let other runs of the route in."""
        self._sight.close()
        with suppress(OSError):  # of a run that broke off, which has said why
            self._drafts.flushing.wait()
        if self._guard >= 0:
            os.close(self._guard)
            self._guard = -1
        self._folder.close()

    def _came_early(self) -> dict[Digest, int]:
        """Give the chunks that were written while the source was scanned and have not been counted: name to size."""
        early = self._drafts.early
        if not early:
            return {}
        return {
            ref.digest: ref.size
            for entry in self._plan.drafts
            if entry.path not in self._told and early.get(entry.path) == entry.chunks
            for ref in entry.refs()
        }

    def _read_state(self, which: str) -> tuple[Ref | None, Tree]:
        ref = self._documents.read_ref(f"{self._refs}/{which}") if self._documents else None
        if ref is None or self._documents is None:
            return None, NOTHING
        return ref, read_tree_if_whole(self._documents, ref.digest)

    def _find_work(self, new: Tree, unfinished: Tree) -> Work:
        """Find what has to be compared: what changed on either side since the last run, or everything."""
        is_plain = self._head is not None and self._next is None and not self._wish.check
        if is_plain and self._head is not None and self._sight.index == self._head.digest:
            work = what_changed(new, self._old, self._sight)
            if work is not None:
                return work
        self._sight.forget()
        return all_of_it(new, self._old, unfinished, self._sight)

    def _guard_deletions(self, deletions: int) -> None:
        have = self._old.leaves
        limit = max(_FREELY_DELETED, have // 2) if self._wish.max_delete is None else self._wish.max_delete
        if deletions > limit:
            raise SyncError(
                f"{self._path}: {deletions} of {have} files would be deleted, because the source has them no more; "
                f"at most {limit} may be",
                hint=f"look whether the source is complete; if it is: --max-delete {deletions}",
            )

    def _examine(self, owned: Mapping[bytes, tuple[Entry, ...]]) -> dict[Digest, Place]:
        """Read the files of unknown content and decide about them; give the right chunks that they hold."""
        have: dict[Digest, Place] = {}
        with Cursor(self._folder) as cursor:
            for entry in self._plan.examine:
                path = join(self._root, entry.path)
                right = self._drafts.right_chunks(path, entry, cursor)
                places = list(placed(entry))
                is_right = len(right) == len(places) and self._work.disk[entry.path].size == entry.size
                if is_right and is_later_name(entry):
                    self._plan.right.add(entry.path)
                if is_right and entry.path not in self._plan.shared:
                    if is_later_name(entry):
                        self._plan.names.append(entry)
                    elif not self._looks_like(entry, path, cursor):
                        self._plan.retouch.append(entry)
                elif is_right or entry.path in owned:
                    if is_later_name(entry):
                        self._plan.names.append(entry)
                    else:
                        self._plan.drafts.append(entry)
                    have.update(
                        {ref.digest: Place(path, offset) for offset, ref in places if offset in right}
                    )
                else:
                    reason = "the target has another file there that this route did not write; move it away"
                    self._plan.blocked.add(entry.path)
                    self._plan.problems.append(file_problem(entry.path, "in-the-way", reason))
        self._plan.examine.clear()
        self._plan.sort_out_names(self._work.disk)
        return have

    def _looks_like(self, entry: Entry, path: bytes, cursor: Cursor) -> bool:
        """Say whether a file that has its content has the rest too."""
        way, name = cursor.at(path)
        descriptor = os.open(name, READ_FLAGS, dir_fd=way)
        try:
            return self._work.disk[entry.path].looks_like(entry) and read_xattrs(descriptor) == xattrs_in(
                entry
            )
        except TooManyXattrsError:
            return False
        finally:
            os.close(descriptor)

    def _is_whole(self, entry: Entry, cursor: Cursor) -> bool:
        path = join(self._root, entry.path)
        try:
            way, name = cursor.at(path)
            size = os.stat(name, dir_fd=way, follow_symlinks=False).st_size
        except OSError:
            return False
        return size == entry.size and len(self._drafts.right_chunks(path, entry, cursor)) == len(
            list(entry.refs())
        )
