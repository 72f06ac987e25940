"""Carry out a sync task: look at the source, bring each target what it lacks, write the Ref last.

`tiers sync run`, the agent of a tier and the daemon of a device call `run_task`. A run that was interrupted is simply
run again; one that has nothing to do writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from toolkit.errors import SyncError, TiersError
from toolkit.sync.events import Finished, Listener, Planned, Scanned, unheard
from toolkit.sync.hours import rate_at, zone_of
from toolkit.sync.layouts.mirror import MirrorTarget
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.listed import ListedTree
from toolkit.sync.narrow import at_and_below, listed
from toolkit.sync.pace import Pace
from toolkit.sync.pins import pinned_paths
from toolkit.sync.policies.standing import Standing, standing_in
from toolkit.sync.push import PackTarget
from toolkit.sync.read import Tap, join
from toolkit.sync.remotes.choose import folder_of, open_storage
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.result import SyncResult, TargetResult
from toolkit.sync.scan import Scan
from toolkit.sync.selection import selection_of
from toolkit.sync.source import FolderTree, Source, StoreTree
from toolkit.sync.spread import places_for
from toolkit.sync.stand_in import stand_in_for
from toolkit.sync.target import Filled, Target, Wish
from toolkit.sync.task import Storage, SyncTask, check_task
from toolkit.wire.index import Entry, count_chunks
from toolkit.wire.tree import Tree

_ROUNDS = 3
"""A file that changes between looking and sending is looked at again; after so many times it waits for the next run."""


def run_task(
    task: SyncTask,
    *,
    listen: Listener = unheard,
    dry_run: bool = False,
    max_delete: int | None = None,
    check: bool = False,
    remotes: Callable[[Storage], Remote] = open_storage,
    only: Collection[bytes] | None = None,
    clock: Callable[[], int] = time.time_ns,
) -> SyncResult:
    """Carry out a task.

    Args:
        task: what to move where.
        listen: hears what is going on.
        dry_run: look and compare, change nothing.
        max_delete: most files that may be deleted in one target; None allows half of them.
        check: read what mirrors have and believe no sizes and times; mends what has rotted there.
        remotes: opens the Remote of a storage, for layouts that need one.
        clock: gives nanoseconds since 1970; ages of files and times of pins are judged by it.
        only: bring these files, relative to the task's path, and nothing else; the targets keep all they have.

    Returns:
        What was done. A target that could not be completed carries its error; the others are complete all the same.

    Raises:
        RemoteUnavailableError: the source is not there.
        SyncError: the source does not have the path, or nothing at `below`.
        IntegrityError: what the source says of itself was damaged.
        UsageError: the task asks for what cannot be done.
    """
    started = time.monotonic()
    check_task(task)
    stand_in = stand_in_for(task, remotes)
    task = msgspec.structs.replace(stand_in.task, targets=places_for(stand_in.task, remotes))
    zone = zone_of(task)
    pace = Pace((lambda: rate_at(task, datetime.now(zone))) if task.hours else task.limit_bytes_per_second)
    run = _Run(
        task,
        listen,
        remotes,
        pace,
        max_delete=max_delete,
        dry_run=dry_run,
        check=check,
        only=only,
        clock=clock,
    )
    source = run.open_source()
    try:
        found = run.look(source, run.open_ahead())
        listen(Scanned(found.files, found.index.total_bytes, found.bytes_read))
        results: list[TargetResult] = []
        for place in task.targets:
            result, found = run.compare(place, found) if dry_run else run.complete(place, source, found)
            results.append(result)
        removed = 0
        if task.then == "remove_source" and not dry_run and not any(result.error for result in results):
            gone = {entry.path for entry in run.held_everywhere & set(found.index.entries)}
            gone -= pinned_paths(task.source, task.path, now_ms=clock() // 1_000_000, remotes=remotes)
            removed = source.remove(run.standing(task.source).removable(gone))
        is_large = isinstance(found.index, Tree) and not found.index.whole
        chunks = 0 if is_large else count_chunks(found.index)
    finally:
        run.close()
        source.close()
    return SyncResult(
        route=task.route,
        dry_run=dry_run,
        files=found.files,
        total_bytes=found.index.total_bytes,
        files_read=found.files_read,
        bytes_read=found.bytes_read,
        chunks=chunks,
        special=found.special,
        problems=(*stand_in.problems, *found.problems),
        targets=tuple(results),
        removed=removed,
        wanted=task.copies or len(task.targets),
        seconds=time.monotonic() - started,
    )


@dataclass
class _Run:
    """A task being carried out."""

    task: SyncTask
    listen: Listener
    remotes: Callable[[Storage], Remote]
    pace: Pace
    max_delete: int | None
    dry_run: bool
    check: bool
    only: Collection[bytes] | None = None
    clock: Callable[[], int] = time.time_ns
    _held: frozenset[Entry] | None = None
    _ahead: MirrorTarget | PackTarget | None = None
    """The first target, when it was opened before the source was looked at."""

    @property
    def held_everywhere(self) -> frozenset[Entry]:
        """Files that were read back from every target, as they were then."""
        return self._held or frozenset()

    def open_source(self) -> Source:
        place, selection = self.task.source, selection_of(self.task, self.clock())
        if place.layout == "mirror":
            if self.only is not None:
                return ListedTree(folder_of(place.url), self.task, self.only)
            return FolderTree(folder_of(place.url), self.task, selection, remember=not self.dry_run)
        return StoreTree(PackStore(self.remotes(place)), self.task, selection)

    def open_ahead(self) -> Tap | None:
        """Open the first target, so that it is looked at while the source is.

        A mirror that has nothing yet can take large files while a folder is scanned; then who takes them is given.
        """
        task, place = self.task, self.task.targets[0]
        if self.dry_run:
            return None
        try:
            if place.layout == "packs":
                if task.source.layout == "mirror":
                    self._ahead = packs = PackTarget(self.remotes(place), task)
                    packs.begin_look()
                return None
            self._ahead = mirror = MirrorTarget(folder_of(place.url), task)
            mirror.begin_look()
            if task.source.layout != "mirror" or task.below or self.only or task.hours:
                return None
            return None if task.limit_bytes_per_second else mirror.tap()
        except TiersError:
            return None  # `complete` will run into it again, and say so

    def close(self) -> None:
        """Close what was opened ahead and not used."""
        if self._ahead is not None:
            self._ahead.close()

    def look(self, source: Source, tap: Tap | None = None) -> Scan:
        """Find out what the source holds of what the task takes; `tap` may take large files on the way.

        Raises:
            SyncError: it holds nothing there.
        """
        found, below = source.look(tap), self.task.below.encode()
        if self.task.source.layout == "mirror":
            found = self.standing(self.task.source).seen(found)
        if self.only is not None:
            found = listed(found, self.only)
        if not below:
            return found
        found = at_and_below(found, below)
        if all(
            entry.kind == "folder" for entry in found.index.entries
        ):  # what was archived leaves folders behind
            raise SyncError(
                f"{self.task.source.url} holds nothing at {join(self.task.path.encode(), below).decode()!r}",
                hint=f"tiers sync where {self.task.path or '.'}",
            )
        return found

    def compare(self, place: Storage, found: Scan) -> tuple[TargetResult, Scan]:
        """Say what would be done to a target."""
        result = TargetResult(place.tier, place.url, place.layout)
        try:
            target = self._open_target(place)
            try:
                plan = target.plan(self._wish(found, place))
            finally:
                target.close()
        except TiersError as error:
            return _failed(result, error), found
        self.listen(Planned(place.url, plan.chunks, plan.total_bytes))
        result = replace(
            result,
            files_written=plan.files,
            deleted=plan.deletions,
            chunks_moved=plan.chunks,
            bytes_unpacked=plan.total_bytes,
            bytes_saved=found.index.total_bytes - plan.total_bytes,
            changed=bool(plan.files or plan.deletions),
        )
        return result, found

    def complete(self, place: Storage, source: Source, found: Scan) -> tuple[TargetResult, Scan]:
        """Bring a target what it lacks; give what was done and what the source holds by now."""
        result = TargetResult(place.tier, place.url, place.layout)
        try:
            target = self._open_target(place)
        except TiersError as error:
            return _failed(result, error), found
        try:
            for attempt in range(1, _ROUNDS + 1):
                plan = target.plan(self._wish(found, place))
                self.listen(Planned(place.url, plan.chunks, plan.total_bytes))
                filled = target.fill(source.chunks, self.pace, self.listen)
                result = _counted(result, filled)
                if not filled.torn or attempt == _ROUNDS:
                    break
                found = self.look(source)
            committed = target.commit(filled.torn_paths)
            self.listen(Finished(place.url))
            result = replace(
                result,
                files_written=committed.files_written,
                deleted=committed.deleted,
                changed=committed.changed,
                problems=(*filled.torn, *committed.problems),
                bytes_saved=max(0, found.index.total_bytes - result.bytes_moved),
            )
            if self.task.then == "remove_source":
                self._read_back(target, found, filled)
        except TiersError as error:
            result = _failed(result, error)
        finally:
            target.close()
        return result, found

    def _read_back(self, target: Target, found: Scan, filled: Filled) -> None:
        sent = [entry for entry in found.index.entries if entry.kind == "file"]
        missing = target.read_back(sent) | filled.torn_paths
        held = frozenset(entry for entry in sent if entry.path not in missing)
        self._held = held if self._held is None else self._held & held

    def standing(self, place: Storage) -> Standing:
        """Look what must be left as it is where the task works in a storage; a target has a folder for each origin."""
        origin = b"" if place == self.task.source else self.task.origin.encode()
        return standing_in(place, join(self.task.path.encode(), origin), self.remotes)

    def _wish(self, found: Scan, place: Storage) -> Wish:
        keep_all = self.task.then == "remove_source" or bool(self.task.below) or self.only is not None
        new, left_out = found.index, found.left_out
        if place.layout == "mirror":
            standing = self.standing(place)
            is_asked = self.task.trigger == "demand" or self.only is not None
            new, stays = standing.wanted(new, place, is_asked=is_asked)
            left_out, keep_all = left_out | stays, keep_all or standing.keeps_all
        return Wish(new, left_out, keep_all=keep_all, max_delete=self.max_delete, check=self.check)

    def _open_target(self, place: Storage) -> Target:
        if self._ahead is not None and place is self.task.targets[0]:
            ahead, self._ahead = self._ahead, None
            return ahead
        if place.layout == "mirror":
            return MirrorTarget(folder_of(place.url), self.task, dry_run=self.dry_run)
        return PackTarget(self.remotes(place), self.task)


def _counted(result: TargetResult, filled: Filled) -> TargetResult:
    return replace(
        result,
        chunks_moved=result.chunks_moved + filled.chunks,
        bytes_unpacked=result.bytes_unpacked + filled.total_bytes,
        bytes_moved=result.bytes_moved + filled.stored_bytes,
    )


def _failed(result: TargetResult, error: TiersError) -> TargetResult:
    return replace(result, error=error.message, hint=error.hint, exit_code=error.exit_code)
