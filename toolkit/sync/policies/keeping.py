"""What people say about data by hand: holds and tags, in every storage of a site, with a line in the audit log.

Called by `tiers sync hold` and `tiers sync tag`; `holds` and `tags` do it in one storage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from toolkit.errors import RemoteUnavailableError, TiersError
from toolkit.sync.policies.audit import Audited, AuditLog
from toolkit.sync.policies.holds import HoldResult, documents_for_writing, hold, release_hold
from toolkit.sync.policies.policy import Policy
from toolkit.sync.policies.shelf import Remotes
from toolkit.sync.policies.survey import homes
from toolkit.sync.policies.tags import set_tags
from toolkit.sync.remotes.choose import open_storage
from toolkit.sync.task import Storage
from toolkit.wire.paths import shown


def hold_everywhere(
    policy: Policy,
    path: bytes,
    *,
    who: str,
    reason: str,
    now_ms: int,
    name: str = "",
    remotes: Remotes = open_storage,
) -> list[HoldResult]:
    """Hold a path in every storage, and write down who did and why.

    Raises:
        RemoteUnavailableError: no storage can take the audit log; nothing is held then.
        UnsafePathError, IntegrityError: as `holds.hold`.
    """
    log = audit_log_of(policy, now_ms, remotes)
    results = hold(_places(policy), path, note=f"{who}: {reason}", now_ms=now_ms, name=name, remotes=remotes)
    log.append(_lines("hold", path, who, reason, now_ms, results))
    return results


def release_everywhere(
    policy: Policy, path: bytes, *, who: str, now_ms: int, name: str = "", remotes: Remotes = open_storage
) -> list[HoldResult]:
    """Take the holds of a path away from every storage, and write down who did. Errors as in `hold_everywhere`."""
    log = audit_log_of(policy, now_ms, remotes)
    results = release_hold(_places(policy), path, name=name, remotes=remotes)
    log.append(_lines("release", path, who, "", now_ms, results))
    return results


def tag_everywhere(
    policy: Policy, path: bytes, changes: Mapping[str, str | None], *, remotes: Remotes = open_storage
) -> dict[str, str]:
    """Give tags to a path in the hotter tiers, where rules read them, and say what it has now.

    Raises:
        RemoteUnavailableError: one of these storages does not answer; run it again then.
        UnsafePathError, UsageError, IntegrityError: as `tags.set_tags`.
    """
    now: dict[str, str] = {}
    for place in homes(policy):
        now = set_tags(documents_for_writing(place.storage, remotes), path, changes)
    return now


def _places(policy: Policy) -> list[Storage]:
    return [place.storage for terms in policy.tiers for place in terms.places]


def audit_log_of(policy: Policy, now_ms: int, remotes: Remotes = open_storage) -> AuditLog:
    """Open the audit log of a site, for deeds done at a time in milliseconds since 1970.

    Raises:
        RemoteUnavailableError: no storage can take it.
    """
    last: TiersError = RemoteUnavailableError("no storage takes the audit log")
    for place in homes(policy):
        try:
            return AuditLog(documents_for_writing(place.storage, remotes), now_ms)
        except TiersError as error:
            last = error
    raise last


def _lines(
    deed: str, path: bytes, who: str, reason: str, now_ms: int, results: Sequence[HoldResult]
) -> list[Audited]:
    return [
        Audited(
            at_ms=now_ms,
            who=who,
            deed=deed,
            path=shown(path),
            rule=each.name,
            objects=each.files,
            source=each.url,
            outcome=each.error or "done",
            reason=reason,
        )
        for each in results
    ]
