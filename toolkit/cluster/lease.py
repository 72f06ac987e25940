"""What a Lease (coordination.k8s.io/v1) says: who holds it, until when, whether its holder is dead. Pure; `lock` asks.

A dead holder's Lease is free when either of two things shows that nobody renews it:

- it did not change for its duration while we looked at it, by our own monotonic clock. That needs no agreement about
  the time of day, but a process that begins now has to look for the whole duration;
- its renewTime is older than its duration and SKEW_SECONDS. Both sides take the time of day from the API server's
  answers (`server_clock`), so a wrong clock on a laptop neither steals a lock nor keeps one. The allowance covers whole
  seconds in the Date header, slow answers, and API servers that differ a little.

Either is enough: the second frees yesterday's lock at once, the first works whatever the clocks of the servers show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from toolkit.cluster.request import Json

DURATION_SECONDS = 30
"""How long a lock outlives its holder at most. It is renewed every third of it."""
SKEW_SECONDS = 10.0
"""How much older than its duration a renewTime has to be before it says that the holder is dead."""
LONGEST_DURATION_SECONDS = 3600


@dataclass(frozen=True)
class Holder:
    """Who has a lock. The times are RFC 3339, by the API server's clock."""

    name: str
    """user@host and a random number of that one process."""
    since: str
    until: str
    """When it ends if it is not renewed."""


class Watched:
    """A Lease as we have seen it since we began to look."""

    def __init__(self) -> None:
        """Nothing has been seen yet."""
        self._last: tuple[object, object] = (None, None)
        self._since = 0.0

    def is_free(self, lease: Mapping[str, object], *, now: datetime, ticks: float) -> bool:
        """Tell whether nobody holds it, or a dead process does.

        Args:
            lease: as it was read just now.
            now: the time at the server, in UTC.
            ticks: seconds of our monotonic clock.
        """
        spec = part(lease, "spec")
        if not spec.get("holderIdentity"):
            return True
        seen = (spec.get("holderIdentity"), spec.get("renewTime"))
        if seen != self._last:
            self._last, self._since = seen, ticks
        if ticks - self._since > _duration(spec):
            return True
        renewed = _time(spec.get("renewTime"))
        return renewed is not None and now > renewed + timedelta(seconds=_duration(spec) + SKEW_SECONDS)


def holder_of(lease: Mapping[str, object]) -> Holder:
    """Say who holds a Lease; the name is empty when nobody does."""
    spec = part(lease, "spec")
    renewed = _time(spec.get("renewTime"))
    until = _text(renewed + timedelta(seconds=_duration(spec))) if renewed else "a time that it does not say"
    return Holder(str(spec.get("holderIdentity") or ""), str(spec.get("acquireTime")), until)


def taken(before: Mapping[str, object] | None, name: str, holder: str, duration: int, now: datetime) -> Json:
    """Give the Lease that makes somebody its holder.

    Args:
        before: the Lease as it was read, whose resourceVersion lets only the first one through. None creates it.
        name: of the Lease.
        holder: who takes it.
        duration: seconds that it lasts without being renewed.
        now: the time at the server.
    """
    transitions = part(before or {}, "spec").get("leaseTransitions")
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": part(before or {}, "metadata") or {"name": name},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": duration,
            "acquireTime": _text(now),
            "renewTime": _text(now),
            "leaseTransitions": (transitions if isinstance(transitions, int) else 0) + 1,
        },
    }


def renewed(lease: Mapping[str, object], now: datetime) -> Json:
    """Give a Lease of ours with a new renewTime."""
    return {**lease, "spec": {**part(lease, "spec"), "renewTime": _text(now)}}


def part(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Give a mapping inside a document; empty when there is none."""
    value = document.get(name)
    return value if isinstance(value, Mapping) else {}


def _duration(spec: Mapping[str, object]) -> int:
    """Give how long a Lease lasts; what somebody wrote there does not keep us for longer than an hour."""
    found = spec.get("leaseDurationSeconds")
    return min(found, LONGEST_DURATION_SECONDS) if isinstance(found, int) else DURATION_SECONDS


def _time(text: object) -> datetime | None:
    """Read a time of meta/v1 (RFC 3339); None when it is none."""
    try:
        found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else None


def _text(moment: datetime) -> str:
    """Write a MicroTime of meta/v1: always six digits and a Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
