"""Collect the garbage of a store of packs while others write to it: `tiers sync gc` calls `collect`.

    forget      states of histories that the retention leaves out, pins that have ended
    used        everything below any Ref and any promise                                         (`used`)
                and the bases of the overlays among it                                           (`leaning`)
    survey      packs, indexes and manifests that nobody needs                                   (`survey`)
    repack      chunks of packs that are mostly garbage go into new packs; the old ones are garbage then
    sweep       what was unused for the grace already: announced, looked at again, deleted       (`sweep`)
    mark        since when the rest is unused, by the clock of the store: `gc/marks`

**Why no Ref ever points to a chunk that is gone.** A writer W stores chunks, index and manifest, then (`promise`)

    p  writes its promise `pending/ID`
    c  reads the announced sweeps; if one stands, or one stood or was not there when it found its chunks, it looks for
       each of them again: it must lie in a pack that no standing sweep names. If one does not, W gives up and says so
    r  writes the Ref
    t  takes its promise away

and a collection G, after any marks and any time,

    s  announces the list L of what it may delete, under a number that was never used
    g  reads all promises, then all Refs, and takes out of L what is needed by now
    d  deletes the rest, and only then
    e  says that it is done

Let X be in L, and needed by W. (1) p before g: G sees the promise, or, if it is gone already (t before g), the Ref,
which was written before t and is read after the promises. X stays. (2) g before p, so s < g < p < c. (2a) c before e: W
sees that the sweep stands and that it names X. It does not count on X: it gives up; its next run finds X missing and
sends it again, into a pack of another name, or gives up until e. (2b) e before c: W sees a number that it did not see
when it found X, or saw it standing then; it looks again, and X is not there. Or it is, because g had spared it or
somebody has stored it since; then nobody deletes it any more, as the next collection has its g after p. In no case does
it matter for how long W or G was stopped between two steps, nor what their clocks say. X may be a pack, an index, a
part of one, or a manifest.

**Overlays** need their bases, which are chunks like any others: needed by W is also what an overlay that W counts on
leans on. W stored or saw the overlay before p, and G reads the trailers after g, so in (1) G sees what it leans on; in
(2) W counts on an overlay only if no sweep names a pack of its bases either. A base counts as needed until the last
overlay upon it has gone, even if the chunk lies whole elsewhere by then: only what was read whole lets an overlay go.

Two things lean on time. A promise whose writer was killed is taken away after PROMISE_DAYS; a writer that was stopped
for so long finds at t that it is gone, looks again as in c, and takes its Ref back if something is missing. And the
list of a collection that was killed between s and e is closed by another one an hour later; see `sweep`.

The grace is for comfort, not for safety: what a run that is still under way has stored is not deleted under it, so that
it need not be sent twice. Only one sweep stands at a time; two collections at once do not harm each other: the second
one marks and does not delete. A chunk that lies in two packs is deleted from one only after it was read from the other
during the sweep.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from toolkit.errors import IntegrityError, MissingObjectError, RemoteUnavailableError, SyncError
from toolkit.sync.collecting import (
    PENDING,
    Marks,
    clock_of,
    keep_room,
    make_room,
    read_marks,
    write_marks,
)
from toolkit.sync.forget import forgettable
from toolkit.sync.layouts.pack import MAX_PACK_BYTES, StoredChunk, decode_pack
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.leaning import lean
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.retention import Keep
from toolkit.sync.survey import Survey, survey
from toolkit.sync.sweep import STALE_BY_OURS_MS, STALE_MS, Sweeping, seconds_asleep_too
from toolkit.sync.used import Used
from toolkit.wire.chunk import view_chunk
from toolkit.wire.digest import Digest, from_raw, to_raw

PROMISE_DAYS = 7
_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True)
class Rules:
    """What a collection goes by."""

    grace_seconds: float = 24 * 60 * 60.0
    """So long something must have been seen unused before it is deleted."""
    keep: Keep | None = None
    """Which states of histories stay; None keeps all."""
    repack_below: float = 0.5
    """A pack whose needed share is smaller is rewritten; 0 rewrites none."""


@dataclass(frozen=True)
class Collected:
    """What a collection did; in a dry run, what it would do."""

    url: str
    dry_run: bool
    refs: int
    """Refs that stay."""
    forgotten: tuple[str, ...] = ()
    """Refs that went."""
    packs: int = 0
    pack_bytes: int = 0
    deleted: tuple[str, ...] = ()
    """Keys that went."""
    deleted_bytes: int = 0
    waiting: int = 0
    """Objects that are unused but not for long enough."""
    waiting_bytes: int = 0
    repacked: int = 0
    """Packs whose needed chunks were written into new ones."""
    repacked_bytes: int = 0
    promises: int = 0
    """Writers that are about to write a Ref, or died then."""
    problems: tuple[str, ...] = ()
    """What was left as it is, and why."""


@dataclass
class _Work:
    store: PackStore
    rules: Rules
    dry_run: bool
    ticks: Callable[[], float]
    now_ms: int
    stale_ms: int
    used: Used
    deleted: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def due(self, unused: dict[str, int], marks: Marks) -> set[str]:
        """Give what was unused for long enough."""
        until = self.now_ms - int(self.rules.grace_seconds * 1000)
        return {key for key in unused if key in marks.since and marks.since[key] <= until}

    def repack(self, found: Survey) -> tuple[int, int]:
        """Rewrite what is needed of packs that are mostly garbage; give their number and the bytes written."""
        below = self.rules.repack_below
        packs = [pack for pack, (live, stored) in sorted(found.thin.items()) if live < below * stored]
        if self.dry_run or not packs:
            return len(packs), sum(found.thin[pack][0] for pack in packs)
        added = self.store.add_again(self._salvaged(packs))
        return len(packs), added.stored_bytes

    def _salvaged(self, packs: list[Digest]) -> Iterator[StoredChunk]:
        for pack in packs:
            try:
                data = self.store.remote.read(f"packs/{pack}", limit=MAX_PACK_BYTES)
                for entry in decode_pack(data, what=f"pack {pack[:12]}"):
                    if to_raw(entry.digest) in self.used.chunks:
                        stored = data[entry.offset : entry.offset + entry.length]
                        if entry.bases:
                            self.store.put_together(entry, pack, stored)
                        else:
                            view_chunk(stored, entry.digest, entry.size)
                        yield StoredChunk(entry.digest, entry.size, stored, entry.bases)
            except (IntegrityError, MissingObjectError) as error:
                # Left as it is: its chunks that are whole may be in a new pack now, the others count on this one.
                self.problems.append(f"packs/{pack}: {error.message}")

    def sweep(self, due: set[str]) -> None:
        """Delete what is due and still unused."""
        remote = self.store.remote
        try:
            sweeping = Sweeping(remote, due, now_ms=self.now_ms, stale_ms=self.stale_ms, ticks=self.ticks)
        except SyncError as error:
            if error.retryable:
                raise
            self.problems.append(error.message)
            return
        try:
            self.used.look()
            fresh = PackStore(remote)
            lean(self.used, fresh)
            found = survey(fresh, self.used, condemned=due)
            for key in sorted(due & found.unused.keys()):
                if not self._is_elsewhere(fresh, key, found):
                    continue
                if not sweeping.delete(key):
                    self.problems.append("it took too long; the rest goes the next time")
                    break
                self.deleted[key] = found.unused[key]
        finally:
            sweeping.finish()

    def _is_elsewhere(self, store: PackStore, key: str, found: Survey) -> bool:
        """Read the needed chunks of a pack from other packs."""
        for raw in found.doubled.get(key, ()):
            digest = from_raw(raw)
            try:
                if not store.has(digest):
                    return False
                store.read_stored(digest)
            except (IntegrityError, MissingObjectError) as error:
                self.problems.append(f"{key} stays: its chunk is needed, and {error.message}")
                return False
        return True


def collect(
    store: PackStore,
    rules: Rules | None = None,
    *,
    dry_run: bool = False,
    ticks: Callable[[], float] = seconds_asleep_too,
) -> Collected:
    """Collect the garbage of a store. Repeating it is harmless, at any moment and by several at once.

    Args:
        store: the packs.
        rules: how long to wait, what to keep.
        dry_run: look, change nothing.
        ticks: seconds, for the lease of the deletion.

    Raises:
        IntegrityError: a Ref or what it names is damaged; nothing was changed.
        RemoteUnavailableError: the store does not answer.
    """
    rules = rules or Rules()
    remote = store.remote
    problems: list[str] = []
    try:
        marks = read_marks(remote)
    except IntegrityError as error:
        marks = Marks()  # everything waits for the grace once more
        problems.append(error.message)
    now_ms, told = (time.time_ns() // 1_000_000, False) if dry_run else _clock(remote)
    forgotten = forgettable(store, rules.keep, now_ms)
    used = Used(store)
    used.look(ignoring=forgotten)
    store.refresh()
    lean(used, store)
    stale = STALE_MS if told else STALE_BY_OURS_MS
    work = _Work(store, rules, dry_run, ticks, now_ms, stale, used, problems=problems)
    for name in () if dry_run else forgotten:
        store.delete_ref(name)
    found = survey(store, used)
    repacked, repacked_bytes = work.repack(found)
    if repacked and not dry_run:
        found = survey(store, used)
    due = work.due(found.unused, marks)
    if due and not dry_run:
        work.sweep(due)
    gone = dict.fromkeys(due, 0) if dry_run else work.deleted
    left = {key: size for key, size in found.unused.items() if key not in gone}
    if not dry_run:
        _mark(work, marks, left)
    problems += [f"{key} is damaged and stays; tiers sync verify --repair mends it" for key in found.damaged]
    if found.missing:
        problems.append(f"{found.missing} chunks that are needed are missing; tiers sync verify names them")
    result = Collected(remote.url, dry_run, used.refs, forgotten, found.packs, found.pack_bytes)
    return replace(
        result,
        deleted=tuple(sorted(gone)),
        deleted_bytes=sum(found.unused.get(key, 0) for key in gone),
        waiting=len(left),
        waiting_bytes=sum(left.values()),
        repacked=repacked,
        repacked_bytes=repacked_bytes,
        promises=len(used.pending),
        problems=tuple(problems),
    )


def _mark(work: _Work, marks: Marks, unused: dict[str, int]) -> None:
    """Remember since when what is unused, and take away promises that nobody has kept for a week."""
    remote = work.store.remote
    since: dict[str, int] = {}
    for key in (*unused, *work.used.pending):
        since[key] = min(marks.since.get(key, work.now_ms), work.now_ms)
        if key.startswith(PENDING) and since[key] <= work.now_ms - PROMISE_DAYS * _DAY_MS:
            remote.delete(key)
            del since[key]
    kept = Marks(written_ms=work.now_ms, since=since)
    if since != marks.since:
        write_marks(remote, kept)
    keep_room(remote, kept)


def _clock(remote: Remote) -> tuple[int, bool]:
    """Hear the store's time; on a disk that is full the reserve makes room, for this and for what follows."""
    try:
        return clock_of(remote)
    except RemoteUnavailableError:
        if not make_room(remote):
            raise
        return clock_of(remote)
