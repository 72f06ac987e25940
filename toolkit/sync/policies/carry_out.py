"""Do what an Outlook says: bring copies, prove them, take away, make room, empty the trash, write it all down.

After `plan`. One run at a time; each step may be killed and the whole be run again: what is there is not brought again,
what left is struck out of the routes' states at the next start. Holds are read again before anything goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import msgspec

from toolkit.errors import TiersError
from toolkit.sync.events import Listener, unheard
from toolkit.sync.policies.audit import Audited, AuditLog
from toolkit.sync.policies.copies import proven
from toolkit.sync.policies.holds import Hold, documents_for_writing, held_by, holds_in
from toolkit.sync.policies.plan import Outlook
from toolkit.sync.policies.policy import Place, Policy
from toolkit.sync.policies.rules import Decision
from toolkit.sync.policies.shelf import FolderShelf, Remotes, Shelf, open_shelf
from toolkit.sync.policies.survey import homes
from toolkit.sync.policies.taking import locked, strike_out, take_away
from toolkit.sync.policies.trash import empty_trash
from toolkit.sync.policies.where import remember
from toolkit.sync.remotes.choose import open_storage
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask
from toolkit.wire.index import Entry
from toolkit.wire.paths import shown

ROUTE = "lifecycle"
"""Name of the route that brings what rules move; the same for all, so that each storage has one state of it."""
_BATCH = 10_000
"""So many objects are proven and taken away together."""
DONE = "done"


@dataclass
class Done:
    """What a run did."""

    lines: list[Audited] = field(default_factory=list)
    """Each deed, as it stands in the audit log."""
    errors: list[str] = field(default_factory=list)
    """Storages that could not be worked on."""
    exit_code: int = 0

    def count(self, deed: str, *, outcome: str = DONE) -> tuple[int, int]:
        """Give how many objects a deed was done to, and their bytes."""
        mine = [line for line in self.lines if line.deed == deed and line.outcome == outcome]
        return sum(line.objects for line in mine), sum(line.size for line in mine)


def carry_out(
    policy: Policy,
    outlook: Outlook,
    *,
    who: str,
    now_ms: int,
    listen: Listener = unheard,
    remotes: Remotes = open_storage,
) -> Done:
    """Do what stands in an Outlook.

    Args:
        policy: the same that the Outlook was made with.
        outlook: from `make_plan`, not long ago.
        who: for the audit log.
        now_ms: the time, in milliseconds since 1970.
        listen: hears what moves.
        remotes: opens a Remote.

    Returns:
        What was done; what could not be done carries its reason, and the rest is done all the same.

    Raises:
        SyncError: another run is at work.
        IntegrityError: a hold was damaged, so that nobody knows what may go.
        RemoteUnavailableError: the audit log cannot be written; nothing is done then.
    """
    with ExitStack() as stack:
        work = _Work(policy, outlook, who, now_ms, listen, remotes)
        stack.callback(work.close)
        for shelf in work.open_all():
            if isinstance(shelf, FolderShelf):
                stack.enter_context(locked(shelf.folder, [ROUTE + ".rules"]))
                strike_out(shelf)
        work.find_log()
        work.read_holds()
        work.bring()
        work.take()
        work.make_room()
        work.empty()
        work.note_guarded()
        work.remember()
        return work.done


class _Work:
    """A run at work."""

    def __init__(
        self, policy: Policy, outlook: Outlook, who: str, now_ms: int, listen: Listener, remotes: Remotes
    ) -> None:
        self.policy, self.outlook, self.who, self.now_ms = policy, outlook, who, now_ms
        self.listen, self.remotes = listen, remotes
        self.done = Done()
        self._shelves: dict[str, Shelf] = {}
        self._audit: AuditLog | None = None
        self._failed: dict[tuple[str, str], str] = {}
        self._holds: list[Hold] = []

    def open_all(self) -> list[Shelf]:
        """Open every storage that answered when the plan was made."""
        for look in self.outlook.found.looks:
            if look.error:
                self._trouble(f"{look.url}: {look.error}", look.exit_code)
                continue
            try:
                self._shelves[look.url] = open_shelf(look.place.storage, self.remotes)
            except TiersError as error:
                self._trouble(error.message, error.exit_code)
        return list(self._shelves.values())

    def close(self) -> None:
        """Let go of the storages."""
        for shelf in self._shelves.values():
            shelf.close()

    def find_log(self) -> None:
        """Find the storage that keeps the audit log. Raises RemoteUnavailableError: none can be written."""
        last: TiersError | None = None
        for place in homes(self.policy):
            try:
                documents = documents_for_writing(place.storage, self.remotes)
            except TiersError as error:
                last = error
                continue
            self._audit = AuditLog(documents, self.now_ms)
            return
        if last is not None:
            raise last

    def read_holds(self) -> None:
        """Read the holds again: somebody may have held something since the plan was made."""
        self._holds = list(self.outlook.found.holds)
        for shelf in self._shelves.values():
            documents = shelf.documents
            if documents is not None:
                self._holds += holds_in(documents)

    def bring(self) -> None:
        """Bring what rules copy or move and the target tier has not, a task for each pair of storages."""
        groups: dict[tuple[str, str], list[Decision]] = {}
        for each in self.outlook.decisions:
            if each.deed in {"copy", "move"} and not any(copy.tier == each.to for copy in each.facts.copies):
                groups.setdefault((each.facts.url, each.to), []).append(each)
        for (url, to), mine in groups.items():
            places = self.policy.terms(to).places
            source = self._shelves.get(url)
            if source is None:
                continue
            target = places[0].storage if places else None
            problem = self._bring(source.place, target, mine) if target else f"{to} has no storage"
            if problem:
                self._failed[url, to] = problem
            if target is not None:
                self._log(
                    self._line(each, each.deed, target.url, problem or DONE)
                    for each in mine
                    if each.deed == "copy" or problem
                )

    def _bring(self, source: Storage, target: Storage, mine: Sequence[Decision]) -> str:
        task = SyncTask(
            route=ROUTE,
            source=source,
            targets=(target,),
            grid="archive" if target.layout == "packs" else "data",
        )
        paths = {each.facts.path for each in mine}
        try:
            result = run_task(task, listen=self.listen, remotes=self.remotes, only=paths)
        except TiersError as error:
            self._trouble(error.message, error.exit_code)
            return error.message
        (brought,) = result.targets
        if brought.error:
            self._trouble(brought.error, brought.exit_code)
        for problem in (*result.problems, *brought.problems):
            self._trouble(f"{problem.path}: {problem.reason}", 1)
        return brought.error

    def take(self) -> None:
        """Take away what has moved and what expires, by way of the trash."""
        for shelf in self._shelves.values():
            shelf.refresh()  # what was brought has to be seen
        for deed in ("move", "expire"):
            mine = [each for each in self.outlook.decisions if each.deed == deed]
            for shelf, batch in self._batches(mine):
                self._take(shelf, batch, deed, to_trash=True)

    def make_room(self) -> None:
        """Delete what has enough copies where a storage is too full; the trash would give no room."""
        for eviction in self.outlook.evictions:
            for shelf, batch in self._batches(eviction.leaving):
                self._take(shelf, batch, "evict", to_trash=False, reason=eviction.reason)
            if eviction.short_bytes:
                message = f"{eviction.url} is {eviction.short_bytes} bytes above its low mark: the rest may not leave"
                self._trouble(message, 1)

    def _batches(self, mine: Sequence[Decision]) -> Iterator[tuple[Shelf, list[Decision]]]:
        for url, shelf in self._shelves.items():
            here = [each for each in mine if each.facts.url == url]
            for at in range(0, len(here), _BATCH):
                yield shelf, here[at : at + _BATCH]

    def _take(
        self, shelf: Shelf, batch: Sequence[Decision], deed: str, *, to_trash: bool, reason: str = ""
    ) -> None:
        decided = {each.facts.path: each for each in batch}
        copies: dict[bytes, tuple[str, ...]] = {}
        outcome: dict[bytes, str] = {}
        leaving: list[Entry] = []
        try:
            for entry in shelf.entries(decided):
                each = decided[entry.path]
                outcome[entry.path], copies[entry.path] = self._may_leave(entry, shelf, each, deed)
                if not outcome[entry.path]:
                    leaving.append(entry)
            outcome.update(take_away(shelf, leaving, self.now_ms, to_trash=to_trash))
        except TiersError as error:
            self._trouble(error.message, error.exit_code)
            outcome = {path: outcome.get(path) or error.message for path in decided}
        lines: list[Audited] = []
        for path, each in decided.items():
            problem = outcome.get(path, "it is not there any more")
            if problem:
                self._trouble(f"{shown(path)} stays in {shelf.place.url}: {problem}", 1)
            line = self._line(each, deed, self._target_of(each), problem or DONE, copies.get(path, ()))
            lines.append(line if not reason else _with_reason(line, reason))
        self._log(lines)

    def _may_leave(
        self, entry: Entry, shelf: Shelf, each: Decision, deed: str
    ) -> tuple[str, tuple[str, ...]]:
        """Say why an object stays (empty when it may leave) and which copies were read back."""
        if who := held_by(self._holds, entry.path):
            return f"held: {who}", ()
        if entry.size != each.facts.size or entry.mtime_ns // 1_000_000 != each.facts.mtime_ms:
            return "it was changed since the plan was made", ()
        if deed == "expire":
            return "", ()
        # A copy in any storage of the tier that it moves to will do, a new one lies in the first.
        targets = [place.storage.url for place in self._places_of(each)] if deed == "move" else []
        known = [*targets, *(copy.url for copy in each.facts.copies)]
        others = [self._shelves[url] for url in dict.fromkeys(known) if url in self._shelves]
        wanted = self.policy.terms(each.facts.tier).copies
        found = proven(entry, shelf, others, wanted)
        if targets and not set(targets) & set(found):
            failed = self._failed.get((shelf.place.url, each.to))
            return failed or f"{targets[0]} does not hold it, read back", found
        if len(found) < wanted:
            return f"{len(found)} verified copies elsewhere, {wanted} are asked for", found
        return "", found

    def _places_of(self, each: Decision) -> Sequence[Place]:
        return self.policy.terms(each.to).places if each.to and each.deed in {"copy", "move"} else ()

    def _target_of(self, each: Decision) -> str:
        places = self._places_of(each)
        return places[0].storage.url if places else ""

    def empty(self) -> None:
        """Empty the trash of days that are over."""
        for shelf in self._shelves.values():
            try:
                gone = empty_trash(shelf, self.now_ms, self.policy.trash_seconds, self._holds)
            except TiersError as error:
                self._trouble(error.message, error.exit_code)
                continue
            self._log(
                Audited(
                    at_ms=self.now_ms,
                    who=self.who,
                    deed="empty-trash",
                    path=shown(each.path),
                    size=each.size,
                    source=shelf.place.url,
                    outcome=DONE,
                    reason=f"in the trash since {each.day}",
                )
                for each in gone
            )

    def note_guarded(self) -> None:
        """Write down how many objects a hold, a pin or a residency kept from what a rule says."""
        groups: dict[tuple[str, str, str], list[Decision]] = {}
        for each in self.outlook.decisions:
            if each.deed == "stay" and each.guarded and each.reason:
                why = each.facts.held or each.facts.pinned or ("residency" if each.is_early else each.rule)
                if why:
                    groups.setdefault((each.facts.url, each.rule, why), []).append(each)
        self._log(
            Audited(
                at_ms=self.now_ms,
                who=self.who,
                deed="keep",
                path="",
                rule=rule,
                objects=len(mine),
                size=sum(each.facts.size for each in mine),
                source=url,
                outcome=DONE,
                reason=why,
            )
            for (url, rule, why), mine in groups.items()
        )

    def remember(self) -> None:
        """Write what every storage has now into the catalogue of each home."""
        _, errors = remember(self.policy, self.now_ms, remotes=self.remotes)
        for error in errors:
            self._trouble(f"the catalogue cannot be written: {error.message}", error.exit_code)

    def _line(
        self, each: Decision, deed: str, target: str, outcome: str, copies: tuple[str, ...] = ()
    ) -> Audited:
        facts = each.facts
        return Audited(
            at_ms=self.now_ms,
            who=self.who,
            deed=deed,
            path=shown(facts.path),
            rule=each.rule,
            size=facts.size,
            source=facts.url,
            target=target,
            outcome=outcome,
            reason=each.reason,
            copies=copies,
        )

    def _log(self, lines: Iterable[Audited]) -> None:
        written = list(lines)
        if self._audit is not None:
            self._audit.append(written)
        self.done.lines += written

    def _trouble(self, message: str, exit_code: int) -> None:
        self.done.errors.append(message)
        self.done.exit_code = max(self.done.exit_code, exit_code)


def _with_reason(line: Audited, reason: str) -> Audited:
    return msgspec.structs.replace(line, rule="", reason=reason, target="")
