"""The layout "mirror": files as they are, and beside them in `.tiers/` what each route wrote.

    .tiers/indexes/DIGEST               what a route wrote, as an index
    .tiers/refs/routes/ROUTE/head       which index; written last
    .tiers/refs/routes/ROUTE/next       the same, while files are being put in place
    .tiers/partial/ROUTE/…              files that are being built (`layouts.drafts`)
    .tiers/scan.sqlite                  what `scan` remembers of this storage

The last index says which chunks the mirror holds and where, so only others move; nothing of it is believed without
reading. `layouts.disk` looks, `layouts.plan` decides, `layouts.drafts` builds, `layouts.settle` puts in place.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection
from pathlib import Path

from toolkit.errors import MissingObjectError, RemoteUnavailableError, SyncError, UnsafePathError
from toolkit.sync.chunk_source import ChunkSource
from toolkit.sync.events import Listener, file_problem
from toolkit.sync.folder import Cursor, Folder, unavailable
from toolkit.sync.layouts.disk import SIDECAR, Found, look
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.layouts.drafts import Drafts, Lacks, Place, lacking
from toolkit.sync.layouts.plan import MirrorPlan, make_plan
from toolkit.sync.layouts.settle import Settler, finish_drafts
from toolkit.sync.merge import merged, placed, without
from toolkit.sync.pace import Pace
from toolkit.sync.read import join
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.route_refs import ref_root
from toolkit.sync.target import Committed, Filled, Plan, Wish
from toolkit.sync.task import SyncTask
from toolkit.wire.digest import Digest
from toolkit.wire.index import Entry, Index, encode_index

_FREELY_DELETED = 10
"""So few files may go without a word, whatever share they are."""


class MirrorTarget:
    """A folder with browsable files as the target of a route."""

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
        self._guard = -1 if dry_run else self._lock()
        sidecar = Path(path) / os.fsdecode(SIDECAR)
        self._documents = (
            Documents(DirectoryRemote(str(sidecar))) if not dry_run or sidecar.is_dir() else None
        )
        self._drafts = Drafts(self._folder, join(SIDECAR, b"partial/" + self._refs.encode()), self.url)
        self._wish = Wish(Index())
        self._head: Ref | None = None
        self._next: Ref | None = None
        self._old = Index()
        self._disk: dict[bytes, Found] = {}
        self._plan = MirrorPlan()
        self._lacks = Lacks([], [], {})

    @property
    def url(self) -> str:
        """Where it is."""
        return Path(self._path).absolute().as_uri()

    def held(self) -> Index:
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
        if not self._root and any(entry.path.partition(b"/")[0] == SIDECAR for entry in wish.new.entries):
            raise UnsafePathError(
                f"{self._path}: the source has a {SIDECAR.decode()} folder, which is ours alone"
            )
        self._head, self._old = self._read_state("head")
        self._next, unfinished = self._read_state("next")
        owned: dict[bytes, tuple[Entry, ...]] = {entry.path: (entry,) for entry in self._old.entries}
        for entry in unfinished.entries:
            owned[entry.path] = (*owned.get(entry.path, ()), entry)
        try:
            self._disk = look(self._folder, self._root)
        except OSError as error:
            raise unavailable(error, self._path) from error
        after = merged(wish.new, self._old, left_out=wish.left_out, keep_all=wish.keep_all)
        staying = {entry.path for entry in after.entries}
        self._plan = make_plan(
            wish.new, owned, self._disk, staying=staying, keep_all=wish.keep_all, check=wish.check
        )
        deletions = len(self._plan.remove) + sum(
            self._disk[path].kind != "folder" for path in self._plan.clear
        )
        self._guard_deletions(deletions)
        have = self._examine(owned)
        self._lacks = self._find_lacks(owned, have)
        return Plan(
            len(self._lacks.moving), sum(self._lacks.moving.values()), len(self._plan.drafts), deletions
        )

    def fill(self, source: ChunkSource, pace: Pace, listen: Listener) -> Filled:
        """Build the files that change; see `Target.fill`."""
        if not self._plan.drafts:
            return Filled()
        source.expect({ref.digest for entry in self._plan.drafts for ref in entry.refs()})
        try:
            with self._folder.folder(join(SIDECAR, b"partial/" + self._refs.encode()), create=True):
                self._check_space()
            return self._drafts.fill(self._lacks, source, pace, listen)
        except OSError as error:
            raise unavailable(error, self._path) from error

    def commit(self, torn: Collection[bytes]) -> Committed:
        """Put files in place, delete what is to go, write the Ref; see `Target.commit`."""
        undone = self._plan.blocked | set(torn)
        new = without(self._wish.new, undone)
        index = merged(new, self._old, left_out=self._wish.left_out | undone, keep_all=self._wish.keep_all)
        digest, _ = encode_index(index)
        problems = tuple(self._plan.problems)
        if (
            self._plan.is_idle
            and self._next is None
            and self._head is not None
            and self._head.digest == digest
        ):
            return Committed(problems=problems)
        done = [entry for entry in self._plan.drafts if entry.path not in undone]
        ref = Ref(
            kind="index",
            digest=digest,
            path=self._task.path,
            sequence=self._head.sequence + 1 if self._head else 1,
        )
        documents = self._documents
        if documents is None:
            raise ValueError("a dry run cannot be committed")
        try:
            documents.put_index(index)
            documents.write_ref(f"{self._refs}/next", ref)
            finish_drafts(self._folder, self._drafts, done)
            deleted = Settler(self._folder, self._root, self._drafts, self._disk, new).settle(
                self._plan, done
            )
        except OSError as error:
            raise unavailable(error, self._path) from error
        documents.write_ref(f"{self._refs}/head", ref)
        self._tidy(
            documents,
            digest,
            {self._drafts.path_of(entry) for entry in self._plan.drafts if entry.path in torn},
        )
        return Committed(len(done), deleted, changed=True, problems=problems)

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
        if self._guard >= 0:
            os.close(self._guard)
            self._guard = -1
        self._folder.close()

    def _lock(self) -> int:
        name = self._refs.replace("/", "+").encode()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            with self._folder.folder(SIDECAR + b"/locks", create=True) as locks:
                descriptor = os.open(name, flags, 0o644, dir_fd=locks)
        except OSError as error:
            raise unavailable(error, self._path) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            message = f"another run of route {self._task.route} is writing to {self._path}"
            raise SyncError(message, hint="wait for it, or end it") from error
        return descriptor

    def _read_state(self, which: str) -> tuple[Ref | None, Index]:
        ref = self._documents.read_ref(f"{self._refs}/{which}") if self._documents else None
        if ref is None or self._documents is None:
            return None, Index()
        try:
            return ref, self._documents.get_index(ref.digest)
        except MissingObjectError:
            # Removed by hand: nothing is known to be ours then; files that are right are found by reading them.
            return ref, Index()

    def _guard_deletions(self, deletions: int) -> None:
        have = sum(entry.kind != "folder" for entry in self._old.entries)
        limit = max(_FREELY_DELETED, have // 2) if self._wish.max_delete is None else self._wish.max_delete
        if deletions > limit:
            raise SyncError(
                f"{self._path}: {deletions} of {have} files would be deleted, because the source has them no more; "
                f"at most {limit} may be",
                hint=f"look whether the source is complete; if it is: --max-delete {deletions}",
            )

    def _examine(self, owned: dict[bytes, tuple[Entry, ...]]) -> dict[Digest, Place]:
        """Read the files of unknown content and decide about them; give the right chunks that they hold."""
        have: dict[Digest, Place] = {}
        with Cursor(self._folder) as cursor:
            for entry in self._plan.examine:
                path = join(self._root, entry.path)
                right = self._drafts.right_chunks(path, entry, cursor)
                places = list(placed(entry))
                if len(right) == len(places) and self._disk[entry.path].size == entry.size:
                    if not self._disk[entry.path].looks_like(entry):
                        self._plan.retouch.append(entry)
                elif entry.path in owned:
                    self._plan.drafts.append(entry)
                    have.update(
                        {ref.digest: Place(path, offset) for offset, ref in places if offset in right}
                    )
                else:
                    reason = "the target has another file there that this route did not write; move it away"
                    self._plan.blocked.add(entry.path)
                    self._plan.problems.append(file_problem(entry.path, "in-the-way", reason))
        self._plan.examine.clear()
        return have

    def _find_lacks(self, owned: dict[bytes, tuple[Entry, ...]], have: dict[Digest, Place]) -> Lacks:
        """Find out which chunks of the drafts the mirror has, by its indexes and by drafts of an earlier run."""
        wanted = {ref.digest for entry in self._plan.drafts for ref in entry.refs()}
        for path, entries in owned.items() if wanted else ():
            found = self._disk.get(path)
            for entry in entries:
                if found is None or entry.kind != "file" or not found.is_still(entry):
                    continue
                for offset, ref in placed(entry):
                    if ref.digest in wanted:
                        have.setdefault(ref.digest, Place(join(self._root, path), offset))
        names = self._drafts.names() if wanted else set()
        drafts: list[tuple[Entry, Place, set[int]]] = []
        with Cursor(self._folder) as cursor:
            for entry in self._plan.drafts:
                path = self._drafts.path_of(entry)
                left = path.rpartition(b"/")[2] in names
                drafts.append(
                    (entry, Place(path, 0), self._drafts.left_over(entry, cursor) if left else set())
                )
        return lacking(drafts, have)

    def _check_space(self) -> None:
        """Refuse before the disk is full, as far as that can be foreseen."""
        facts = os.fstatvfs(self._folder.descriptor)
        free = facts.f_bavail * facts.f_frsize
        need = sum(
            piece.ref.size
            for stage in (self._lacks.first, self._lacks.then)
            for _, pieces in stage
            for piece in pieces
        )
        if need > free:
            raise RemoteUnavailableError(
                f"{self._path}: {need} bytes are to be written and {free} are free",
                hint="free some space there and run it again",
            )

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

    def _tidy(self, documents: Documents, digest: Digest, torn: set[bytes]) -> None:
        """Remove what only mattered until the Ref was written."""
        documents.delete_ref(f"{self._refs}/next")
        stay = {path.rpartition(b"/")[2] for path in torn}
        self._drafts.discard(self._drafts.names() - stay)
        for old in {
            ref.digest for ref in (self._head, self._next) if ref is not None and ref.digest != digest
        }:
            names = documents.list_refs()
            if all(ref.digest != old for name in names if (ref := documents.read_ref(name)) is not None):
                documents.remote.delete(f"indexes/{old}")
