"""Have the files of a route at hand when they are read, by bringing the next ones before somebody asks.

A job says which file it reads now (`serve_reads` from a pipe, `listen_reads` on a socket, or this class in Python). One
that is not there is brought at once; between requests `read_order` names the next, one at a time, so that nobody waits
for more than the one that is on its way. Who asks for what is there never waits. Where another run of the route is at
work, such as the one beside the next worker, who needs a file waits for it and looks again.

What is brought ahead is pinned until it is read or its time is over, so making room does not take it before; nothing is
ever deleted for it. The order that was learnt stays with the documents of the target for the next job:

    order/ROUTE    `KeptOrder`: the paths in the order in which they were read
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from toolkit.errors import IntegrityError, MissingObjectError, SyncError, TiersError, UsageError
from toolkit.sync.folder import Folder
from toolkit.sync.layouts.disk import same_time
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.layouts.states import AT_WORK
from toolkit.sync.pins import documents_of
from toolkit.sync.policies.reads import record_read
from toolkit.sync.policies.shelf import Remotes, open_shelf
from toolkit.sync.read import join
from toolkit.sync.read_order import LookAhead, ReadOrder, Tally
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.choose import folder_of, open_storage
from toolkit.sync.route_refs import ref_root
from toolkit.sync.run import run_task
from toolkit.sync.task import SyncTask
from toolkit.wire.document import Document, decode_json, encode_json
from toolkit.wire.index import Index
from toolkit.wire.paths import check_path, shown

MAX_ORDER_BYTES = 16 * 1024 * 1024
"""A kept order is no larger; a longer one keeps its beginning."""
_SHARE_FREE = 0.05
"""So much of the disk stays free: the job writes there too."""
_LOOK_AGAIN_SECONDS = 0.1
"""So often it is looked whether another run of the route is over."""


class _AtWorkError(SyncError):
    """Another run of the route is writing to the target."""


class KeptOrder(Document, frozen=True, kw_only=True):
    """The order in which the files of a route were read last."""

    FORMAT: ClassVar[int] = 1
    paths: tuple[bytes, ...]
    """Relative to the route's path. Base64 in the JSON."""
    at_ms: int
    """When it was written, in milliseconds since 1970."""


@dataclass(frozen=True)
class Needed:
    """What came of a request."""

    path: str
    """Below the storages, as it was asked for."""
    state: str
    """there, or brought."""
    seconds: float
    """How long the job had to wait for it."""


class Prefetcher:
    """Brings files of a route before they are read. Several threads may ask; one looks ahead, one at a time brings."""

    def __init__(
        self,
        task: SyncTask,
        *,
        ahead: int,
        budget_bytes: int,
        keep_seconds: float = 900.0,
        patience_seconds: float = 600.0,
        remotes: Remotes = open_storage,
        clock: Callable[[], int] = time.time_ns,
        free: Callable[[str], tuple[int, int]] | None = None,
    ) -> None:
        """Look what the source has.

        Args:
            task: the route; its first target is where the job reads.
            ahead: how many files to look ahead.
            budget_bytes: most bytes in place that nobody has asked for yet.
            keep_seconds: how long such a file is pinned, at most.
            patience_seconds: how long a request waits for another run of the route.
            remotes: opens a Remote.
            clock: gives nanoseconds since 1970.
            free: gives free and all bytes of the file system of a folder; for tests.

        Raises:
            UsageError: the target keeps packs, which a job cannot read, or the route empties its source.
            RemoteUnavailableError: the source does not answer.
        """
        self._target = task.targets[0]
        if self._target.layout != "mirror":
            raise UsageError(
                f"route {task.route} leads to packs in {self._target.url}, and a job reads files",
                hint="name a route whose target has the layout mirror",
            )
        if task.then == "remove_source":
            raise UsageError(
                f"route {task.route} empties its source, so it is not for reading again and again",
                hint="write a route without then: remove_source for what jobs read",
            )
        self._task = msgspec.structs.replace(task, targets=(self._target,), copies=0, spread=False)
        self._remotes, self._clock, self._free = remotes, clock, free or _free_bytes
        self._keep_ms = int(keep_seconds * 1000)
        self._patience_seconds = patience_seconds
        self._state = threading.Lock()
        """Of what was read and brought; never held while something is brought."""
        self._bringing = threading.Lock()
        """Of who brings; taken before the other one."""
        self._asking: list[bytes] = []
        """What is being brought or waited for because somebody asked."""
        self._closed = threading.Event()
        self._root = task.path.encode()
        self._pin = f"pins/{task.route}/ahead-{secrets.token_hex(4)}"
        self._is_pinned = False
        shelf = open_shelf(task.source, remotes)
        try:
            prefix = len(self._root) + 1 if self._root else 0
            items = list(shelf.items(self._root))
            self._sizes = {item.path[prefix:]: item.size for item in items}
            self._times = {item.path[prefix:]: item.mtime_ns for item in items}
        finally:
            shelf.close()
        self._folder = Folder(folder_of(self._target.url))
        order = ReadOrder(self._sizes, self._kept_order())
        self._look = LookAhead(order, self._sizes, ahead=ahead, budget_bytes=budget_bytes)

    @property
    def tally(self) -> Tally:
        """What it was good for, so far."""
        return self._look.tally

    def need(self, path: bytes) -> Needed:
        """Have a file there, because somebody reads it now.

        Args:
            path: below the storage, as other commands take it.

        Raises:
            UnsafePathError: it would leave the storage.
            SyncError: the route does not cover it, neither end has it, or the run that should bring it failed.
            RemoteUnavailableError: the source does not answer.
        """
        began = time.monotonic()
        whole = check_path(path)
        if self._root and not whole.startswith(self._root + b"/"):
            raise SyncError(
                f"{shown(whole)} is not below {self._task.path}, which route {self._task.route} brings",
                hint=f"ask for {self._task.path}/NAME",
            )
        name = whole[len(self._root) + 1 :] if self._root else whole
        is_there = self._is_there(name)
        with self._state:
            self._look.read(name, is_there=is_there)
            if not is_there:
                self._asking.append(name)
        if not is_there:
            try:
                if name not in self._sizes:
                    raise SyncError(
                        f"{self._task.source.url} has no {shown(whole)}",
                        hint=f"tiers sync where {shown(whole)}",
                    )
                with self._bringing:
                    self._bring_patiently(name)
            finally:
                with self._state:
                    self._asking.remove(name)
        return Needed(shown(whole), "there" if is_there else "brought", round(time.monotonic() - began, 3))

    def look_ahead(self) -> bool:
        """Bring the next file that nobody has asked for yet, if there is one; say whether there was.

        What does not work now (no room, another run at work, the source is silent) is not done, and no error: the file
        is brought when somebody needs it. Who needs one now goes first.
        """
        with self._state:
            name = None if self._asking else self._look.wanted(self._is_there)
        if name is None:
            return False
        try:
            free, total = self._free(self._folder.path)
            if free - self._sizes[name] < _SHARE_FREE * total:
                return False
            with self._bringing:
                if self._is_there(name):  # whoever needed it was faster
                    return True
                self._bring(name)
                with self._state:
                    if name not in self._asking:  # else somebody waits for it: it came when it was needed
                        self._look.brought(name)
                self._keep()
        except (TiersError, OSError):
            return False
        return True

    def close(self) -> Tally:
        """Let go of what nobody has read, remember the order for the next job, and give what it was good for.

        Raises:
            RemoteUnavailableError: the target cannot be written.
        """
        self._closed.set()
        documents = self._documents()
        self.remember()
        if documents is not None and self._is_pinned:
            documents.delete_ref(self._pin)
        if self._bringing.acquire(blocking=False):  # else a file is on its way: the next run goes on with it
            self._folder.close()
            self._bringing.release()
        return self.tally

    def remember(self) -> None:
        """Leave the order that was learnt so far for the next job, and say when something was read.

        Raises:
            RemoteUnavailableError: the target cannot be written.
        """
        documents = self._documents()
        with self._state:
            order = self._look.order.order if self._look.tally.asked else []
        if documents is not None and order:
            now_ms = self._clock() // 1_000_000
            kept = KeptOrder(paths=_as_many_as_fit(order), at_ms=now_ms)
            documents.remote.write(self._key(), encode_json(kept))
            record_read(documents, self._root, now_ms)

    def _bring_patiently(self, name: bytes) -> None:
        until = time.monotonic() + self._patience_seconds
        while not self._is_there(name):  # else whoever had the turn before has brought it
            try:
                self._bring(name)
            except _AtWorkError:
                if time.monotonic() > until or self._closed.wait(_LOOK_AGAIN_SECONDS):
                    raise
            except SyncError:
                if not self._is_there(name):  # another route may have put it in its place meanwhile
                    raise
            else:
                return

    def _bring(self, name: bytes) -> None:
        result = run_task(self._task, remotes=self._remotes, only={name}, clock=self._clock)
        (target,) = result.targets
        if target.error:
            kind = _AtWorkError if target.hint == AT_WORK else SyncError
            raise kind(target.error, hint=target.hint)
        for problem in (*result.problems, *target.problems):
            raise SyncError(f"{problem.path}: {problem.reason}", hint=f"tiers sync run {self._task.route}")

    def _keep(self) -> None:
        """Pin what was brought and is not read yet, and what is read now; the rest is let go by that."""
        documents = self._documents()
        head = documents.read_ref(f"{ref_root(self._task)}/head") if documents is not None else None
        if documents is None or head is None or self._closed.is_set():
            return
        with self._state:
            needed = self._look.in_use
        entries = tuple(entry for entry in documents.entries(head.digest) if entry.path in needed)
        until = self._clock() // 1_000_000 + self._keep_ms
        note = "brought ahead of need"
        digest = documents.put_index(Index(entries=entries))
        documents.write_ref(
            self._pin, Ref(kind="index", digest=digest, path=self._task.path, until_ms=until, note=note)
        )
        self._is_pinned = True

    def _is_there(self, name: bytes) -> bool:
        with suppress(OSError, IntegrityError), self._folder.parent(join(self._root, name)) as (way, last):
            status = os.stat(last, dir_fd=way, follow_symlinks=False)
            if name not in self._sizes:
                return True  # the source has let go of it, the target has not
            same = same_time(status.st_mtime_ns, self._times[name])
            return same and status.st_size == self._sizes[name]
        return False

    def _documents(self) -> Documents | None:
        return documents_of(self._target, self._remotes)

    def _key(self) -> str:
        return f"order/{self._task.route}"

    def _kept_order(self) -> tuple[bytes, ...]:
        """Give the order of the last job; a damaged one counts as none, the order of the names will do."""
        documents = self._documents()
        with suppress(MissingObjectError, IntegrityError):
            if documents is not None:
                data = documents.remote.read(self._key(), limit=MAX_ORDER_BYTES)
                return decode_json(data, KeptOrder, what=self._key(), limit=MAX_ORDER_BYTES).paths
        return ()


def _as_many_as_fit(paths: list[bytes]) -> tuple[bytes, ...]:
    room, fitting = MAX_ORDER_BYTES // 2, list[bytes]()
    for path in paths:
        room -= 4 * (len(path) // 3 + 1) + 3
        if room < 0:
            break
        fitting.append(path)
    return tuple(fitting)


def _free_bytes(folder: str) -> tuple[int, int]:
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize, facts.f_blocks * facts.f_frsize
