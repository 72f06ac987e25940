"""Carry out a sync task: look at the source, bring each target what it lacks, write the Ref last.

`tiers sync run`, the agent of a tier and the daemon of a device call `run_task`. A run that was interrupted is simply
run again; one that has nothing to do writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from toolkit.errors import TiersError
from toolkit.sync.events import Finished, Listener, Planned, Scanned, unheard
from toolkit.sync.layouts.mirror import MirrorTarget
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.pace import Pace
from toolkit.sync.push import PackTarget
from toolkit.sync.remotes.choose import folder_of, open_remote
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.result import SyncResult, TargetResult
from toolkit.sync.scan import Scan
from toolkit.sync.selection import selection_of
from toolkit.sync.source import FolderTree, Source, StoreTree
from toolkit.sync.target import Filled, Target, Wish
from toolkit.sync.task import Storage, SyncTask, check_task
from toolkit.wire.index import Entry, count_chunks

_ROUNDS = 3
"""A file that changes between looking and sending is looked at again; after so many times it waits for the next run."""


def run_task(
    task: SyncTask,
    *,
    listen: Listener = unheard,
    dry_run: bool = False,
    max_delete: int | None = None,
    check: bool = False,
    remotes: Callable[[str], Remote] = open_remote,
) -> SyncResult:
    """Carry out a task.

    Args:
        task: what to move where.
        listen: hears what is going on.
        dry_run: look and compare, change nothing.
        max_delete: most files that may be deleted in one target; None allows half of them.
        check: read what mirrors have and believe no sizes and times; mends what has rotted there.
        remotes: opens the Remote behind a URL, for layouts that need one.

    Returns:
        What was done. A target that could not be completed carries its error; the others are complete all the same.

    Raises:
        RemoteUnavailableError: the source is not there.
        SyncError: the source does not have the path.
        IntegrityError: what the source says of itself was damaged.
        UsageError: the task asks for what cannot be done.
    """
    started = time.monotonic()
    check_task(task)
    pace = Pace(task.limit_bytes_per_second)
    run = _Run(task, listen, remotes, pace, max_delete=max_delete, dry_run=dry_run, check=check)
    source = run.open_source()
    try:
        found = source.look()
        listen(Scanned(found.files, found.index.total_bytes, found.bytes_read))
        results: list[TargetResult] = []
        for place in task.targets:
            result, found = run.compare(place, found) if dry_run else run.complete(place, source, found)
            results.append(result)
        removed = 0
        if task.then == "remove_source" and not dry_run and not any(result.error for result in results):
            removed = source.remove({entry.path for entry in run.held_everywhere & set(found.index.entries)})
    finally:
        source.close()
    return SyncResult(
        route=task.route,
        dry_run=dry_run,
        files=found.files,
        total_bytes=found.index.total_bytes,
        files_read=found.files_read,
        bytes_read=found.bytes_read,
        chunks=count_chunks(found.index),
        special=found.special,
        problems=found.problems,
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
    remotes: Callable[[str], Remote]
    pace: Pace
    max_delete: int | None
    dry_run: bool
    check: bool
    _held: frozenset[Entry] | None = None

    @property
    def held_everywhere(self) -> frozenset[Entry]:
        """Files that were read back from every target, as they were then."""
        return self._held or frozenset()

    def open_source(self) -> Source:
        place, selection = self.task.source, selection_of(self.task, time.time_ns())
        if place.layout == "mirror":
            return FolderTree(folder_of(place.url), self.task, selection, remember=not self.dry_run)
        return StoreTree(PackStore(self.remotes(place.url)), self.task, selection)

    def compare(self, place: Storage, found: Scan) -> tuple[TargetResult, Scan]:
        """Say what would be done to a target."""
        result = TargetResult(place.tier, place.url, place.layout)
        try:
            target = self._open_target(place)
            try:
                plan = target.plan(self._wish(found))
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
                plan = target.plan(self._wish(found))
                self.listen(Planned(place.url, plan.chunks, plan.total_bytes))
                filled = target.fill(source.chunks, self.pace, self.listen)
                result = _counted(result, filled)
                if not filled.torn or attempt == _ROUNDS:
                    break
                found = source.look()
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

    def _wish(self, found: Scan) -> Wish:
        keep_all = self.task.then == "remove_source"
        return Wish(
            found.index, found.left_out, keep_all=keep_all, max_delete=self.max_delete, check=self.check
        )

    def _open_target(self, place: Storage) -> Target:
        if place.layout == "mirror":
            return MirrorTarget(folder_of(place.url), self.task, dry_run=self.dry_run)
        return PackTarget(self.remotes(place.url), self.task)


def _counted(result: TargetResult, filled: Filled) -> TargetResult:
    return replace(
        result,
        chunks_moved=result.chunks_moved + filled.chunks,
        bytes_unpacked=result.bytes_unpacked + filled.total_bytes,
        bytes_moved=result.bytes_moved + filled.stored_bytes,
    )


def _failed(result: TargetResult, error: TiersError) -> TargetResult:
    return replace(result, error=error.message, hint=error.hint, exit_code=error.exit_code)
