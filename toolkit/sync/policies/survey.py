"""Look at every storage of a site and put together what is known of each object: the facts that rules go by.

The first step of `plan` and of `where`. A storage that does not answer counts with what the catalogue last knew of it,
for people; nothing is taken away because of a copy that nobody sees now.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from toolkit.errors import IntegrityError, TiersError
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.pins import documents_of
from toolkit.sync.policies.catalogue import read_snapshot
from toolkit.sync.policies.holds import Hold, held_by, holds_in
from toolkit.sync.policies.kinds import kind_of
from toolkit.sync.policies.policy import Place, Policy, Terms
from toolkit.sync.policies.reads import last_read, last_reads, together
from toolkit.sync.policies.rules import Copy, Facts
from toolkit.sync.policies.shelf import Item, Remotes, Shelf, open_shelf
from toolkit.sync.policies.tags import tags_in, tags_of
from toolkit.sync.read import join
from toolkit.sync.remotes.choose import open_storage

_METRICS = b"metrics.json"
_NS_PER_S = 1_000_000_000
Version = tuple[bytes, int, int]
"""Path, size and second of the modification time: what makes two copies look the same."""


@dataclass
class Look:
    """One storage, as it was looked at."""

    terms: Terms
    place: Place
    items: list[Item] = field(default_factory=list)
    used_bytes: int = 0
    holds: list[Hold] = field(default_factory=list)
    pins: Mapping[bytes, str] = field(default_factory=dict)
    """Who has pinned what there."""
    reads: Mapping[bytes, int] = field(default_factory=dict)
    tags: Mapping[bytes, Mapping[str, str]] = field(default_factory=dict)
    metrics: Mapping[bytes, Mapping[str, float]] = field(default_factory=dict)
    looked_ms: int = 0
    """When; 0 when nobody ever has."""
    error: str = ""
    """Why it was not looked at now; the items are those of the catalogue then."""
    exit_code: int = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return self.place.storage.url


@dataclass(frozen=True)
class Survey:
    """All storages."""

    now_ms: int
    looks: tuple[Look, ...]
    holds: tuple[Hold, ...]
    """Of all storages together."""

    @property
    def unreachable(self) -> tuple[Look, ...]:
        """Storages that did not answer."""
        return tuple(look for look in self.looks if look.error)


def survey(policy: Policy, now_ms: int, *, below: bytes = b"", remotes: Remotes = open_storage) -> Survey:
    """Look at every storage of a policy.

    Args:
        policy: names the storages.
        now_ms: the time, in milliseconds since 1970.
        below: look only at this path and below it; empty is everything, and then used bytes are counted too.
        remotes: opens a Remote.

    Raises:
        IntegrityError: a hold or a pin was damaged, so that nobody knows what may go.
    """
    notes = list(documents_at_home(policy, remotes))
    has_best = any(rule.keep.best for rule in policy.rules)
    looks = [
        _look(terms, place, now_ms, below, notes, remotes, has_best=has_best)
        for terms in policy.tiers
        for place in terms.places
    ]
    holds = {(each.name, each.path): each for look in looks for each in look.holds}
    return Survey(now_ms, tuple(looks), tuple(holds.values()))


def facts_of_tier(policy: Policy, found: Survey, tier: str) -> list[Facts]:
    """Give the facts of every object of a tier, storage by storage; of storages that did not answer none."""
    reads = together(*(look.reads for look in found.looks))
    tags = {path: own for look in found.looks for path, own in look.tags.items()}
    copies: dict[Version, list[tuple[str, Copy]]] = {}
    for look in found.looks:
        for item in look.items if not look.error else ():
            copies.setdefault(version_of(item), []).append((look.url, Copy(look.terms.tier, look.url)))
    return [
        Facts(
            tier=tier,
            url=look.url,
            path=item.path,
            size=item.size,
            mtime_ms=item.mtime_ns // 1_000_000,
            since_ms=item.since_ms,
            read_ms=last_read(reads, item.path),
            kind=kind_of(item.path, policy.kinds) or "",
            tags=tags_of(tags, item.path),
            metrics=look.metrics.get(item.path, {}),
            held=held_by(found.holds, item.path),
            pinned=look.pins.get(item.path, ""),
            copies=tuple(copy for url, copy in copies[version_of(item)] if url != look.url),
        )
        for look in found.looks
        if look.terms.tier == tier and not look.error
        for item in look.items
    ]


def version_of(item: Item) -> Version:
    """Give what tells whether two copies look the same."""
    return item.path, item.size, item.mtime_ns // _NS_PER_S


def homes(policy: Policy) -> list[Place]:
    """Give the storages that keep the catalogue and the audit log: the first of each tier but the coldest."""
    tiers = [terms for terms in policy.tiers if terms.places]
    return [terms.places[0] for terms in (tiers[:-1] or tiers)]


def documents_at_home(policy: Policy, remotes: Remotes) -> Iterator[Documents]:
    """Yield the documents of the homes that answer, without making any."""
    for place in homes(policy):
        with suppress(TiersError):
            documents = documents_of(place.storage, remotes)
            if documents is not None:
                yield documents


def pins_in(documents: Documents, now_ms: int) -> dict[bytes, str]:
    """Give what is pinned in a storage, with who needs it. Raises IntegrityError and RemoteUnavailableError."""
    pinned: dict[bytes, str] = {}
    for name in documents.list_refs("pins/"):
        ref = documents.read_ref(name)
        if ref is None or ref.kind != "index" or 0 < ref.until_ms <= now_ms:
            continue
        who = name.removeprefix("pins/") + (f": {ref.note}" if ref.note else "")
        pinned.update((join(ref.path.encode(), entry.path), who) for entry in documents.entries(ref.digest))
    return pinned


def _look(
    terms: Terms,
    place: Place,
    now_ms: int,
    below: bytes,
    notes: Sequence[Documents],
    remotes: Remotes,
    *,
    has_best: bool,
) -> Look:
    look = Look(terms, place)
    before = read_snapshot(notes, look.url)
    try:
        shelf = open_shelf(place.storage, remotes)
        try:
            items = list(shelf.items(below))
            _read_documents(look, shelf.documents, now_ms)
            look.metrics = _metrics(shelf, items) if has_best else {}
            look.used_bytes = 0 if below else shelf.used_bytes(sum(item.size for item in items))
        finally:
            shelf.close()
    except IntegrityError:
        raise
    except TiersError as error:
        look.error, look.exit_code = error.message, error.exit_code
    if look.error:
        look.items, look.looked_ms = [], 0
        if before is not None:
            look.items, look.looked_ms = before[1], before[0].looked_ms
        return look
    look.items, look.looked_ms = _seen_first(items, before[1] if before else ()), now_ms
    return look


def _read_documents(look: Look, documents: Documents | None, now_ms: int) -> None:
    if documents is not None:
        look.holds, look.pins = holds_in(documents), pins_in(documents, now_ms)
        look.reads, look.tags = last_reads(documents), tags_in(documents)


def _seen_first(items: Iterable[Item], before: Iterable[Item]) -> list[Item]:
    """Take over since when something has been there from an earlier look: a changed mode makes no new arrival."""
    since = {version_of(item): item.since_ms for item in before}
    if not since:
        return list(items)
    return [
        item._replace(since_ms=min(item.since_ms, since.get(version_of(item), item.since_ms)))
        for item in items
    ]


def _metrics(shelf: Shelf, items: Sequence[Item]) -> dict[bytes, dict[str, float]]:
    """Read the metrics.json beside files, and FILE.metrics.json; it counts for all files of its folder, or for FILE."""
    there = {item.path for item in items}
    read = {path: _figures(shelf.small(path)) for path in there if path.endswith(_METRICS)}
    found: dict[bytes, dict[str, float]] = {}
    for path in there:
        own = read.get(path + b"." + _METRICS)
        shared = read.get(join(path.rpartition(b"/")[0], _METRICS))
        if own or shared:
            found[path] = {**(shared or {}), **(own or {})}
    return found


def _figures(data: bytes | None) -> dict[str, float]:
    """Give the numbers of a metrics file: `{"metric": "dice", "score": 0.9}` as our jobs write it, or plain names."""
    try:
        document = json.loads(data or b"")
    except ValueError:
        return {}
    if not isinstance(document, dict):
        return {}
    numbers = {
        str(name): float(value)
        for name, value in document.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    metric = document.get("metric")
    if isinstance(metric, str) and "score" in numbers:
        numbers[metric] = numbers["score"]
    return numbers
