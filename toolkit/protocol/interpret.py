"""What a happening means for an installation: which event of the table it is, if any. Pure.

First half of `install.step`: it keeps the counts (tries, strikes, restarts) by which one happening is this event today
and another one tomorrow. `follow` is the second half.
"""

from __future__ import annotations

from msgspec.structs import replace

from toolkit.protocol.installation import (
    MAX_LOSSES,
    MAX_RESTARTS,
    MAX_STRIKES,
    RELOAD_SECONDS,
    RETRY_SECONDS,
    Ban,
    Event,
    Evicted,
    Given,
    Installation,
    Offered,
    Outcome,
    Restarted,
    Serving,
    Struck,
    Tick,
)
from toolkit.protocol.room import without
from toolkit.wire.states import FINISHED, InstallState


def interpret(held: Installation, given: Given, now: float) -> tuple[Installation, Event | None]:
    """Write down what the happening says by itself, and name the event that it is; None when it is none."""
    event: Event | None = None
    if isinstance(given, Outcome):
        return _outcome(held, given)
    if isinstance(given, Offered):
        event = _offer(held, given)
    elif isinstance(given, Restarted):
        return _restart(held, now)
    elif isinstance(given, Tick):
        event = _tick(held, now)
    elif isinstance(given, Serving):
        return _serving(held, given), None
    elif isinstance(given, Struck):
        return _strike(held, given, now)
    elif isinstance(given, Evicted):
        held, begun = without(held, given.artifacts)
        event = Event.EVICT if begun else None
    else:
        event = Event.WITHDRAW
    return held, event


def _offer(held: Installation, given: Offered) -> Event | None:
    offer, present = given.offer, held.offer
    if present is not None and offer.artifact == present.artifact:
        given_up = held.state in {InstallState.IDLE, InstallState.CANCELLED}
        if offer.rollout == present.rollout and not given_up:
            return None
        if held.state is InstallState.ACTIVE or held.state not in FINISHED:
            return Event.RELABEL
    if Ban(artifact=offer.artifact, rollout=offer.rollout) in held.bans:
        return Event.BANNED
    return Event.OFFER


def _outcome(held: Installation, given: Outcome) -> tuple[Installation, Event | None]:
    if given.attempt != held.attempt:
        return held, None
    if given.event is Event.CHUNKS_LOST and held.state is InstallState.VERIFYING:
        held = replace(held, losses=held.losses + 1)
        return held, Event.FAIL if held.losses >= MAX_LOSSES else Event.CHUNKS_LOST
    if given.event is Event.ACCEPT and held.offer is not None:
        artifacts = [each.artifact for each in held.good]
        if held.offer.artifact in artifacts:
            first = artifacts[0] == held.offer.artifact
            return held, Event.FOUND_SERVING if first else Event.FOUND_INSTALLED
    return held, given.event


def _restart(held: Installation, now: float) -> tuple[Installation, Event]:
    starts = held.failed_starts + 1 if held.shall_serve else 0
    # The monotonic clock of this boot knows nothing of the last one's.
    retry_at = now + RETRY_SECONDS if held.retry_at else 0.0
    held = replace(
        held, serving="", failed_starts=starts, resumed=held.resumed + 1, retry_at=retry_at, reload_at=0.0
    )
    if held.state is InstallState.ACTIVATING and held.resumed > MAX_RESTARTS:
        return held, Event.CRASH_LOOP
    if starts > MAX_RESTARTS and len(held.good) > 1:
        return held, Event.BOOT_LOOP
    return held, Event.RESTART


def _tick(held: Installation, now: float) -> Event | None:
    if held.reload_at and now >= held.reload_at:
        return Event.RELOAD
    if held.state is InstallState.PROBATION:
        first = held.shall_serve
        proven = first is not None and held.serving == first.artifact and now >= held.probation_until
        return Event.PROBATION_OVER if proven else None
    if held.retry_at and now >= held.retry_at:
        return Event.RETRY
    return None


def _serving(held: Installation, given: Serving) -> Installation:
    first = held.shall_serve
    if first is not None and given.artifact == first.artifact:
        return replace(held, serving=given.artifact, failed_starts=0, reload_at=0.0)
    return replace(held, serving=given.artifact)


def _strike(held: Installation, given: Struck, now: float) -> tuple[Installation, Event | None]:
    first = held.shall_serve
    if first is None or first.artifact != given.artifact:
        return held, None
    if given.fatal:
        if len(held.good) > 1 or held.state is InstallState.PROBATION:
            return held, Event.UNHEALTHY
        # There is nothing to fall back to, and what hinders it (memory, say) may pass.
        return replace(held, reload_at=now + RELOAD_SECONDS), None
    if held.state is not InstallState.PROBATION:
        return held, None
    held = replace(held, strikes=held.strikes + 1)
    return held, Event.UNHEALTHY if held.strikes >= MAX_STRIKES else None
