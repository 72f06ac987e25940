"""Bring an Index and its missing chunks to a store of packs, the Ref last.

After `scan` (or a Ref of another store) comes this, or `layouts.mirror` when the target has browsable files. Chunks are
durable pack by pack; a run that was interrupted finds them in the packs and sends at most the last one again.
"""

from __future__ import annotations

from collections.abc import Collection

from toolkit.errors import IntegrityError, MissingObjectError, SyncError
from toolkit.sync.chunk_source import ChunkSource
from toolkit.sync.events import FileProblem, Listener, Moved, file_problem
from toolkit.sync.flow import stored_chunks
from toolkit.sync.layouts.packs import Added, PackStore
from toolkit.sync.merge import merged, without
from toolkit.sync.pace import Pace
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.route_refs import ref_root
from toolkit.sync.target import Committed, Filled, Plan, Wish
from toolkit.sync.task import SyncTask
from toolkit.wire.digest import Digest
from toolkit.wire.index import ChunkRef, Entry, Index, distinct_chunks, encode_index


class PackTarget:
    """A store of packs as the target of a route."""

    def __init__(self, remote: Remote, task: SyncTask) -> None:
        """Stand on a Remote."""
        self._remote = remote
        self._store = PackStore(remote)
        self._task = task
        self._refs = ref_root(task)
        self._head: Ref | None = None
        self._old = Index()
        self._wish = Wish(Index())
        self._missing: tuple[ChunkRef, ...] = ()

    def plan(self, wish: Wish) -> Plan:
        """Find the chunks that the store lacks; see `Target.plan`."""
        self._wish = wish
        self._head = self._store.read_ref(f"{self._refs}/head")
        self._old = self._store.get_index(self._head.digest) if self._head else Index()
        chunks = distinct_chunks(wish.new)
        missing = set(self._store.missing(ref.digest for ref in chunks))
        self._missing = tuple(ref for ref in chunks if ref.digest in missing)
        before = {entry.path: entry for entry in self._old.entries}
        after = merged(wish.new, self._old, left_out=wish.left_out, keep_all=wish.keep_all)
        staying = {entry.path for entry in after.entries}
        # Nothing is lost by leaving a path out of a new index: older ones still name it. So nothing is guarded here.
        return Plan(
            chunks=len(self._missing),
            total_bytes=sum(ref.size for ref in self._missing),
            files=sum(entry.kind == "file" and before.get(entry.path) != entry for entry in wish.new.entries),
            deletions=sum(
                entry.kind != "folder" and entry.path not in staying for entry in self._old.entries
            ),
        )

    def fill(self, source: ChunkSource, pace: Pace, listen: Listener) -> Filled:
        """Store the missing chunks; see `Target.fill`."""
        source.expect({ref.digest for ref in self._missing})
        torn: dict[Digest, str] = {}

        def tell(pack: Added) -> None:
            listen(Moved(self._remote.url, pack.chunks, pack.total_bytes, pack.stored_bytes))

        added = self._store.add(stored_chunks(self._missing, source, pace, torn), on_pack=tell)
        problems: dict[bytes, FileProblem] = {}
        for entry in self._wish.new.entries if torn else ():
            reason = next((torn[ref.digest] for ref in entry.refs() if ref.digest in torn), None)
            if reason is not None:
                problems[entry.path] = file_problem(entry.path, "torn", reason)
        return Filled(
            added.chunks, added.total_bytes, added.stored_bytes, tuple(problems.values()), frozenset(problems)
        )

    def commit(self, torn: Collection[bytes]) -> Committed:
        """Write the index, then its Refs; see `Target.commit`.

        Raises:
            SyncError: another run of the route was faster.
        """
        wish = self._wish
        left_out = wish.left_out | frozenset(torn)
        new = without(wish.new, torn)
        index = merged(new, self._old, left_out=left_out, keep_all=wish.keep_all)
        digest, _ = encode_index(index)
        if self._head is not None and self._head.digest == digest:
            return Committed()
        self._store.put_index(index)
        if self._store.read_ref(f"{self._refs}/head") != self._head:
            raise SyncError(
                f"another run of route {self._task.route} has written to {self._remote.url} meanwhile",
                hint="run it again; what has arrived is not sent again",
            )
        self._store.write_ref(f"{self._refs}/head", self._remember(digest))
        before = {entry.path: entry for entry in self._old.entries}
        after = {entry.path for entry in index.entries}
        return Committed(
            files_written=sum(
                entry.kind == "file" and before.get(entry.path) != entry for entry in new.entries
            ),
            deleted=sum(entry.kind != "folder" and entry.path not in after for entry in self._old.entries),
            changed=True,
        )

    def read_back(self, entries: Collection[Entry]) -> frozenset[bytes]:
        """Read chunks again from the packs; see `Target.read_back`."""
        store = PackStore(self._remote)
        bad: set[bytes] = set()
        good: set[Digest] = set()
        for entry in entries:
            for ref in entry.refs():
                if ref.digest in good:
                    continue
                try:
                    store.read_stored(ref.digest)
                except (IntegrityError, MissingObjectError):
                    bad.add(entry.path)
                    break
                good.add(ref.digest)
        return frozenset(bad)

    def close(self) -> None:
        """Nothing is open."""

    def _remember(self, digest: Digest) -> Ref:
        """Write the state into the route's history; a run that died before the head may have taken a number already."""
        sequence = self._head.sequence if self._head else 0
        while True:
            sequence += 1
            ref = Ref(kind="index", digest=digest, path=self._task.path, sequence=sequence)
            name = f"{self._refs}/at/{sequence:010d}"
            if self._store.write_new_ref(name, ref):
                return ref
            left = self._store.read_ref(name)
            if left is not None and left.digest == digest:
                return left
