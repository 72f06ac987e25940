"""What people do with the trash of a site: see what lies in it, take something back, empty it. For `tiers trash`.

`trash` and `putting_back` do it in one storage; here storages are gone through, holds of the whole site are obeyed, and
every deed is written into the audit log. What is taken back is pinned for a while, or the next run of the rules that
deleted it would delete it again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from toolkit.errors import SyncError, TiersError, UsageError
from toolkit.sync.policies.audit import Audited
from toolkit.sync.policies.carry_out import DONE, ROUTE
from toolkit.sync.policies.holds import Hold, documents_for_writing, held_by, holds_in
from toolkit.sync.policies.keeping import audit_log_of
from toolkit.sync.policies.policy import Policy
from toolkit.sync.policies.putting_back import COLLECTED, TAKEN, put_back
from toolkit.sync.policies.shelf import FolderShelf, Remotes, Shelf, is_at_or_below, open_shelf
from toolkit.sync.policies.taking import locked
from toolkit.sync.policies.trash import Binned, binned, empty_trash, going, over_ms
from toolkit.sync.promise import promised
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.choose import open_storage
from toolkit.wire.digest import digest_of
from toolkit.wire.index import Index
from toolkit.wire.paths import check_path, shown

BACK, THERE, STAYS = "back", "there already", "stays in the trash"


@dataclass(frozen=True)
class Trashed:
    """Something in the trash of a storage."""

    path: str
    tier: str
    url: str
    size: int
    day: str
    """When it went in, YYYY-MM-DD in UTC."""
    gone_ms: int
    """From when on the rules delete it for good, in milliseconds since 1970; 0 is never."""
    held: str
    """Who holds it and why; it stays then."""


@dataclass
class Trash:
    """What was found or done. `errors` are storages that do not answer, with their exit code."""

    found: list[Trashed] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    exit_code: int = 0


@dataclass(frozen=True)
class Wanted:
    """What somebody wants back."""

    path: bytes
    """Where it was, relative to the storage; what lay below it too."""
    day: str = ""
    """What went in on that day (YYYY-MM-DD, UTC); empty is what went in last."""
    places: tuple[str, ...] = ()
    """Only from storages of these tiers or addresses; none is any."""


@dataclass(frozen=True)
class Restored:
    """What became of one thing that somebody wanted back."""

    path: str
    tier: str
    url: str
    size: int
    day: str
    state: str
    """back, there already, or stays in the trash."""
    problem: str = ""
    """Why it stays."""
    cure: str = ""
    """What to do about that."""


@dataclass
class Restoring:
    """What a restore did. With `dry_run` nothing was changed."""

    dry_run: bool
    rows: list[Restored] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    exit_code: int = 0


def list_trash(
    policy: Policy, *, below: bytes = b"", places: Sequence[str] = (), remotes: Remotes = open_storage
) -> Trash:
    """Say what lies in the trash of a site.

    Args:
        policy: names the storages, and how long things stay in the trash.
        below: only this path and what lies below it.
        places: only storages of these tiers or addresses; none is all.
        remotes: opens a Remote.

    Raises:
        UsageError: there is no such tier or storage.
        IntegrityError: a hold or an index of the trash was damaged.
    """
    result = Trash()
    with ExitStack() as stack:
        can = _Can(policy, remotes, places, stack)
        _note(result, *can.silent)
        for tier, shelf in can.chosen:
            with _noted(result):
                result.found += [
                    _trashed(policy, tier, shelf, each, can.holds)
                    for each in sorted(binned(shelf), key=lambda each: (each.path, each.age))
                    if is_at_or_below(each.path, below)
                ]
    return result


def restore(
    policy: Policy,
    wanted: Wanted,
    *,
    who: str,
    now_ms: int,
    keep_until_ms: int = 0,
    dry_run: bool = False,
    remotes: Remotes = open_storage,
) -> Restoring:
    """Put a path, and what lay below it, back from the trash: of each file the one that went in last.

    Args:
        policy: names the storages.
        wanted: what.
        who: for the audit log.
        now_ms: the time, in milliseconds since 1970.
        keep_until_ms: pin it until then; 0 does not.
        dry_run: change nothing.
        remotes: opens a Remote.

    Raises:
        SyncError: it is in no trash and in no storage, or a route is at work there.
        UsageError: several storages have it in their trash, and one has to be named; or there is none of a name.
        UnsafePathError: the path would leave the storage.
        RemoteUnavailableError: the audit log cannot be written; nothing is done then.
        IntegrityError: a hold or an index was damaged.
    """
    path, day = check_path(wanted.path), wanted.day
    result = Restoring(dry_run)
    with ExitStack() as stack:
        can = _Can(policy, remotes, wanted.places, stack)
        _note(result, *can.silent)
        found: list[tuple[str, Shelf, list[Binned]]] = []
        for tier, shelf in can.chosen:
            with _noted(result):
                if mine := _last_ones(binned(shelf), path, day):
                    found.append((tier, shelf, mine))
        if len(found) > 1:
            urls = [shelf.place.url for _, shelf, _ in found]
            raise UsageError(
                f"{shown(path)} is in the trash of {', '.join(urls)}",
                hint=f"tiers trash restore {shown(path)} --from {found[0][0]}",
            )
        if not found:
            result.rows += _there(can.chosen, path)
            if not result.rows and not result.errors:
                raise SyncError(
                    f"nothing of {shown(path)} is in the trash{' of ' + day if day else ''}, nor in a storage",
                    hint="tiers trash list",
                )
            return result
        log = None if dry_run else audit_log_of(policy, now_ms, remotes)
        ((tier, shelf, mine),) = found
        outcome = put_back(shelf, mine, dry_run=dry_run)
        if log is not None:
            log.append([_line("restore", shelf, each, who, now_ms, outcome[each.path]) for each in mine])
            back = {way for way, problem in outcome.items() if not problem}
            if keep_until_ms and back:
                _pin(shelf, path, keep_until_ms, f"{who}: taken back", back, remotes)
    for each in mine:
        problem = outcome[each.path]
        result.rows.append(
            Restored(
                path=shown(each.path),
                tier=tier,
                url=shelf.place.url,
                size=each.size,
                day=each.day,
                state=STAYS if problem else BACK,
                problem=problem,
                cure=_cure(problem, shown(each.path)),
            )
        )
        result.exit_code = max(result.exit_code, 1 if problem else 0)
    return result


def empty(
    policy: Policy,
    *,
    who: str,
    now_ms: int,
    trash_seconds: float,
    places: Sequence[str] = (),
    dry_run: bool = False,
    remotes: Remotes = open_storage,
) -> Trash:
    """Delete for good what has been in the trash for so long; nothing that is held.

    Args:
        policy: names the storages.
        who: for the audit log.
        now_ms: the time, in milliseconds since 1970.
        trash_seconds: how long; `trash.AT_ONCE` takes all.
        places: only storages of these tiers or addresses.
        dry_run: say what would go; change nothing.
        remotes: opens a Remote.

    Returns:
        What went. A storage that does not answer, or where rules are at work, is named and left alone.

    Raises:
        UsageError: there is no such tier or storage.
        RemoteUnavailableError: the audit log cannot be written; nothing is done then.
        IntegrityError: a hold or an index of the trash was damaged.
    """
    result = Trash()
    log = None if dry_run else audit_log_of(policy, now_ms, remotes)
    with ExitStack() as stack:
        can = _Can(policy, remotes, places, stack)
        _note(result, *can.silent)
        for tier, shelf in can.chosen:
            with _noted(result), ExitStack() as locks:
                if isinstance(shelf, FolderShelf) and not dry_run:
                    locks.enter_context(locked(shelf.folder, [f"{ROUTE}.rules"]))
                gone = (going if dry_run else empty_trash)(shelf, now_ms, trash_seconds, can.holds)
                result.found += [_trashed(policy, tier, shelf, each, ()) for each in gone]
                if log is not None:
                    log.append([_line("empty-trash", shelf, each, who, now_ms, "") for each in gone])
    return result


class _Can:
    """The storages of a site, open, with the holds of all of them."""

    def __init__(self, policy: Policy, remotes: Remotes, places: Sequence[str], stack: ExitStack) -> None:
        """Open them; one that does not answer is told of by `silent`. Raises UsageError: `places` names another."""
        known = {place.storage.url for terms in policy.tiers for place in terms.places}
        known |= {terms.tier for terms in policy.tiers}
        for name in set(places) - known:
            raise UsageError(
                f"there is no tier or storage {name!r}", hint=f"one of: {', '.join(sorted(known))}"
            )
        self.holds: list[Hold] = []
        self.silent: list[TiersError] = []
        self.chosen: list[tuple[str, Shelf]] = []
        for terms in policy.tiers:
            for place in terms.places:
                try:
                    shelf = open_shelf(place.storage, remotes)
                    stack.callback(shelf.close)
                    documents = shelf.documents
                    self.holds += holds_in(documents) if documents is not None else ()
                except SyncError as error:
                    self.silent.append(error)
                    continue
                if not places or {terms.tier, place.storage.url} & set(places):
                    self.chosen.append((terms.tier, shelf))


@contextmanager
def _noted(result: Trash | Restoring) -> Iterator[None]:
    """Let the others be worked on when one storage does not answer, or is being worked on."""
    try:
        yield
    except SyncError as error:
        _note(result, error)


def _note(result: Trash | Restoring, *errors: TiersError) -> None:
    for error in errors:
        result.errors.append(error.message)
        result.exit_code = max(result.exit_code, error.exit_code)


def _last_ones(found: Iterable[Binned], path: bytes, day: str) -> list[Binned]:
    """Choose of each file at a path and below it the one that went in last, or last on a day."""
    last: dict[bytes, Binned] = {}
    for each in found:
        if is_at_or_below(each.path, path) and day in {"", each.day}:
            other = last.get(each.path)
            if other is None or other.age < each.age:
                last[each.path] = each
    return [last[way] for way in sorted(last)]


def _cure(problem: str, path: str) -> str:
    if problem == TAKEN:
        return f"tiers sync where {path}; move that one away, then run this again"
    return f"tiers sync recall {path}, when another tier has it" if problem.startswith(COLLECTED) else ""


def _there(shelves: Iterable[tuple[str, Shelf]], path: bytes) -> Iterator[Restored]:
    for tier, shelf in shelves:
        for item in shelf.items(path):
            yield Restored(shown(item.path), tier, shelf.place.url, item.size, "", THERE)


def _pin(
    shelf: Shelf, path: bytes, until_ms: int, note: str, back: Collection[bytes], remotes: Remotes
) -> None:
    """Keep what was put back for a while, as a recall does; a mirror is read for it."""
    entries = tuple(shelf.entries(back))
    if not entries:
        return
    documents = documents_for_writing(shelf.place, remotes)
    name = f"pins/{ROUTE}/back-{digest_of(path)[:16]}"
    pinned = Ref(
        kind="index", digest=documents.put_index(Index(entries=entries)), until_ms=until_ms, note=note
    )
    with promised(documents, pinned, lambda: documents.delete_ref(name)):
        documents.write_ref(name, pinned)


def _trashed(policy: Policy, tier: str, shelf: Shelf, each: Binned, holds: Sequence[Hold]) -> Trashed:
    gone = over_ms(each.day, policy.trash_seconds)
    return Trashed(
        path=shown(each.path),
        tier=tier,
        url=shelf.place.url,
        size=each.size,
        day=each.day,
        gone_ms=0 if gone == math.inf else int(gone),
        held=held_by(holds, each.path),
    )


def _line(deed: str, shelf: Shelf, each: Binned, who: str, now_ms: int, problem: str) -> Audited:
    return Audited(
        at_ms=now_ms,
        who=who,
        deed=deed,
        path=shown(each.path),
        size=each.size,
        source=shelf.place.url,
        outcome=problem or DONE,
        reason=f"in the trash since {each.day}",
    )
