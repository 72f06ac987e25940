"""Bring an Index and its missing chunks to a store of packs, the Ref last.

After `scan` (or a Ref of another store) comes this, or `layouts.mirror` when the target has browsable files. Chunks are
durable pack by pack; a run that was interrupted finds them in the packs and sends at most the last one again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial

from toolkit.errors import IntegrityError, MissingObjectError
from toolkit.sync.chunk_source import ChunkSource, FolderSource, Range
from toolkit.sync.digest_table import DigestTable
from toolkit.sync.drifting import Drifting
from toolkit.sync.events import FileProblem, Listener, Moved, file_problem
from toolkit.sync.flow import AHEAD, FEW_AHEAD, stored_chunks
from toolkit.sync.layouts.pack import Added, StoredChunk
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.merge import merged, without
from toolkit.sync.overlaying import Overlaying
from toolkit.sync.pace import Pace
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.route_refs import ref_root, write_state
from toolkit.sync.target import Committed, Filled, Plan, Wish
from toolkit.sync.task import SyncTask
from toolkit.sync.tree_change import differences
from toolkit.wire.digest import Digest, from_raw
from toolkit.wire.entry import PACKED
from toolkit.wire.index import ChunkRef, Entry, Index
from toolkit.wire.tree import Tree, as_tree, tree_of

_WINDOW_CHUNKS = 25_000
"""So many chunks are looked for in the source at a time: some 10 MB of memory."""


class PackTarget:
    """A store of packs as the target of a route."""

    def __init__(self, remote: Remote, task: SyncTask) -> None:
        """Stand on a Remote."""
        self._remote = remote
        self._store = PackStore(remote)
        self._task = task
        self._refs = ref_root(task)
        self._head: Ref | None = None
        self._old = self._new = self._after = tree_of(())
        """What the last run brought, what this one shall, and what the route has then."""
        self._counted = (0, 0)
        self._wish = Wish(Index())
        self._missing = DigestTable()
        """Chunks that are to be sent, until they are."""
        self._looking: Future[tuple[Ref | None, Tree]] | None = None

    def begin_look(self) -> None:
        """Begin to look at the store while the source is looked at: over a network that is many round trips."""
        one = ThreadPoolExecutor(1, "look")
        self._looking = one.submit(self._look)
        one.shutdown(wait=False)  # it takes nothing more, and ends with this

    def _look(self) -> tuple[Ref | None, Tree]:
        head = self._store.read_ref(f"{self._refs}/head")
        old = self._store.get_tree(head.digest) if head else tree_of(())
        self._store.look_to_write()
        return head, old

    def plan(self, wish: Wish) -> Plan:
        """Find the chunks that the store lacks; see `Target.plan`."""
        self._wish = wish
        self._new = as_tree(wish.new)
        looking, self._looking = self._looking, None  # a second plan looks again
        try:
            self._head, self._old = looking.result() if looking else self._look()
        finally:
            del looking  # else an error and this frame would hold each other
        if wish.keep_all:
            self._old.prove()  # parts of it go into the new index unread
        self._missing = DigestTable()
        total_bytes = 0
        for entry in self._new.entries:
            for raw, size in PACKED.iter_unpack(entry.chunks):
                if not self._store.stays(raw) and self._missing.put(raw):
                    total_bytes += size
        self._after = self._merged(self._new, wish.left_out)
        # Nothing is lost by leaving a path out of a new index: older ones still name it. So nothing is guarded here.
        self._counted = _counted(self._old, self._after)
        return Plan(len(self._missing), total_bytes, *self._counted)

    def fill(self, source: ChunkSource, pace: Pace, listen: Listener) -> Filled:
        """Store the missing chunks; see `Target.fill`."""
        if not self._missing:
            return Filled()
        torn: dict[Digest, str] = {}

        def tell(pack: Added) -> None:
            listen(Moved(self._remote.url, pack.chunks, pack.total_bytes, pack.stored_bytes))

        # Closed also when a pack does not arrive: its threads must have ended before the source is closed.
        with closing(self._coded(source, pace, torn)) as coded:
            added = self._store.add(coded, on_pack=tell)
        problems: dict[bytes, FileProblem] = {}
        for entry in self._new.entries if torn else ():
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
        after, counted = self._after, self._counted
        if torn:
            after = self._merged(as_tree(without(self._new, torn)), self._wish.left_out | frozenset(torn))
            counted = _counted(self._old, after)
        if self._head is not None and self._head.digest == after.digest:
            self._store.put_parts(after, like=self._old)
            return Committed()
        self._store.put_index(after, like=self._old)
        write_state(self._store, self._refs, self._head, after.digest, self._task.path)
        return Committed(*counted, changed=True)

    def _merged(self, new: Tree, left_out: Collection[bytes]) -> Tree:
        return as_tree(merged(new, self._old, left_out=left_out, keep_all=self._wish.keep_all))

    def _coded(
        self, source: ChunkSource, pace: Pace, torn: dict[Digest, str]
    ) -> Generator[StoredChunk, None, None]:
        """Yield what is missing in stored form, each chunk once, and look for few of them in the source at a time."""
        code_one: Callable[[ChunkRef], StoredChunk] | None = None
        if isinstance(source, FolderSource) and self._task.grid == "weights":
            code_one = partial(source.coded, coding=Drifting(self._store, self._old, pace))
        elif isinstance(source, FolderSource) and source.blocks is not None:
            code_one = partial(source.coded, coding=Overlaying(self._store, self._old, source.blocks))
        for window, near in self._windows():
            digests = {ref.digest for ref in window}
            if isinstance(source, FolderSource):
                source.expect(digests, near=near)
            else:
                source.expect(digests)
            yield from stored_chunks(
                window, source, pace, torn, code_one, ahead=AHEAD if self._store.at_once == 1 else FEW_AHEAD
            )

    def _windows(self) -> Iterator[tuple[list[ChunkRef], Range]]:
        """Yield chunks that are missing, with the first and the last of the paths that they were found at."""
        window: list[ChunkRef] = []
        first = last = b""
        for entry in self._new.entries if self._missing else ():
            for raw, size in PACKED.iter_unpack(entry.chunks):
                if not self._missing.discard(raw):
                    continue
                first, last = first or entry.path, entry.path
                window.append(ChunkRef(from_raw(raw), size))
                if len(window) >= _WINDOW_CHUNKS:
                    yield window, (first, last)
                    window, first = [], b""
        if window:
            yield window, (first, last)

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
        """Wait for a look that nobody came back for; nothing else is open."""
        if self._looking is not None:
            self._looking.exception()


def _counted(old: Tree, new: Tree) -> tuple[int, int]:
    """Count the files that are new or other ones, and the files and links that are not there any more."""
    files = deletions = 0
    for was, shall_be in differences(old, new):
        if shall_be is not None:
            files += shall_be.kind == "file"
        elif was is not None:
            deletions += was.kind != "folder"
    return files, deletions
