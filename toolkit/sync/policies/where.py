"""Where something is: in which tiers and storages, which version, verified when, held and pinned by whom, read when.

For `tiers sync where` and whoever plans a job. Each storage is looked at; of one that does not answer the catalogue
tells what it had, and when somebody last saw that.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.errors import TiersError
from toolkit.sync.policies.catalogue import write_snapshot
from toolkit.sync.policies.holds import documents_for_writing, held_by
from toolkit.sync.policies.policy import Policy
from toolkit.sync.policies.reads import last_read, together
from toolkit.sync.policies.shelf import Remotes, is_at_or_below
from toolkit.sync.policies.survey import Survey, homes, survey
from toolkit.sync.policies.tags import tags_of
from toolkit.sync.remotes.choose import open_storage
from toolkit.wire.paths import shown


@dataclass(frozen=True)
class Whereabout:
    """One object in one storage. Times are in milliseconds since 1970, 0 is never or not known."""

    path: str
    tier: str
    url: str
    size: int
    mtime_ms: int
    version: str
    """Digest of its chunk list; equal ones are the same bytes, different ones may be (cut by another grid). Empty for
    a file that no route has brought."""
    since_ms: int
    """When it came there, or was first seen there."""
    verified_ms: int
    """When it was last read back and was whole."""
    read_ms: int
    """When somebody last read it, as far as we recorded, wherever that was."""
    held: str
    """Who holds it and why."""
    pinned: str
    """The same for a pin."""
    tags: dict[str, str]
    seen_ms: int
    """When the storage was looked at: now, or when the catalogue was written."""
    is_remembered: bool
    """Whether the storage does not answer now, and the catalogue tells this."""


@dataclass(frozen=True)
class Silent:
    """A storage that does not answer."""

    tier: str
    url: str
    error: str
    seen_ms: int
    """When the catalogue was written that tells what it had; 0 when nobody has looked yet."""


@dataclass(frozen=True)
class Whereabouts:
    """Where a path and what lies below it is."""

    path: str
    now_ms: int
    found: tuple[Whereabout, ...]
    """In order of path, the hottest tier first."""
    silent: tuple[Silent, ...]

    @property
    def exit_code(self) -> int:
        """0; 5 when a storage does not answer and nobody knows what it had; 1 when there is nothing anywhere."""
        if any(not each.seen_ms for each in self.silent):
            return 5
        return 0 if self.found else 1


def where(policy: Policy, path: bytes, now_ms: int, *, remotes: Remotes = open_storage) -> Whereabouts:
    """Find a path in every storage of a site.

    Args:
        policy: names the storages.
        path: a file or a folder below them; empty is everything.
        now_ms: the time, in milliseconds since 1970.
        remotes: opens a Remote.

    Raises:
        IntegrityError: a hold, a pin or a tag was damaged.
    """
    seen = survey(policy, now_ms, below=path, remotes=remotes)
    reads = together(*(look.reads for look in seen.looks))
    tags = {way: own for look in seen.looks for way, own in look.tags.items()}
    rank = {terms.tier: number for number, terms in enumerate(policy.tiers)}
    found = [
        (
            (item.path, rank[look.terms.tier], look.url),
            Whereabout(
                path=shown(item.path),
                tier=look.terms.tier,
                url=look.url,
                size=item.size,
                mtime_ms=item.mtime_ns // 1_000_000,
                version=item.version,
                since_ms=item.since_ms,
                verified_ms=item.verified_ms,
                read_ms=last_read(reads, item.path),
                held=held_by(seen.holds, item.path),
                pinned=look.pins.get(item.path, ""),
                tags=tags_of(tags, item.path),
                seen_ms=look.looked_ms,
                is_remembered=bool(look.error),
            ),
        )
        for look in seen.looks
        for item in look.items
        if is_at_or_below(item.path, path)
    ]
    silent = tuple(Silent(look.terms.tier, look.url, look.error, look.looked_ms) for look in seen.unreachable)
    ordered = tuple(each for _, each in sorted(found, key=lambda row: row[0]))
    return Whereabouts(shown(path), now_ms, ordered, silent)


def remember(
    policy: Policy, now_ms: int, *, remotes: Remotes = open_storage
) -> tuple[Survey, list[TiersError]]:
    """Look at every storage and write down what it has, in the catalogue of the hotter tiers.

    Returns:
        What was seen, and why a catalogue could not be written.

    Raises:
        IntegrityError: as `where`.
    """
    seen = survey(policy, now_ms, remotes=remotes)
    errors: list[TiersError] = []
    for place in homes(policy):
        try:
            documents = documents_for_writing(place.storage, remotes)
            for look in seen.looks:
                if not look.error:
                    write_snapshot(documents, look.terms.tier, look.url, look.items, look.looked_ms)
        except TiersError as error:
            errors.append(error)
    return seen, errors
