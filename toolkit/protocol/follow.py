"""What changes in an installation along an arrow of the table. Pure; second half of `install.step`."""

from __future__ import annotations

from typing import TypedDict

from msgspec.structs import replace

from toolkit.protocol.installation import (
    BANS_KEPT,
    GOOD_VERSIONS,
    MAX_LOSSES,
    MAX_RESTARTS,
    MAX_TRIES,
    RETRY_SECONDS,
    RETRYABLE,
    Ban,
    Event,
    Given,
    Installation,
    Offer,
    Offered,
    Outcome,
    Proven,
    Rules,
    Struck,
)
from toolkit.wire.states import InstallState


class _Changes(TypedDict, total=False):
    offer: Offer
    good: tuple[Proven, ...]
    withdrawn: bool
    counter: int
    offered_floor: int
    floor: int
    attempt: int
    tries: int
    resumed: int
    failed_starts: int
    losses: int
    strikes: int
    code: str
    reason: str
    retry_at: float
    probation_until: float
    reload_at: float
    bans: tuple[Ban, ...]


_ACCEPTED = {Event.ACCEPT, Event.FOUND_INSTALLED, Event.FOUND_SERVING}
_SAME_STATE = {Event.RESTART, Event.RELOAD, Event.RELABEL}


def follow(
    held: Installation, given: Given, event: Event, to: InstallState, now: float, rules: Rules
) -> Installation:
    """Give the installation as it stands at the end of the arrow."""
    changes = _changes(held, given, event, now, rules)
    if event not in _SAME_STATE and to is not held.state:
        changes.setdefault("resumed", 0)
    return replace(held, state=to, **changes)


def _changes(held: Installation, given: Given, event: Event, now: float, rules: Rules) -> _Changes:
    if isinstance(given, Offered) or event is Event.RETRY:
        return _offered(held, given, event)
    if event in _ACCEPTED and isinstance(given, Outcome):
        changes = _Changes(counter=given.counter, offered_floor=given.floor)
        if event is Event.FOUND_SERVING:
            changes["good"] = _good_with_offer(held)
            changes["withdrawn"] = False
        return changes
    if event in {Event.REFUSE, Event.FAIL, Event.CRASH_LOOP}:
        return _failed(held, given, event, now)
    if event in {Event.UNHEALTHY, Event.BOOT_LOOP}:
        return _reverted(held, given, event)
    return _moved(held, event, now, rules)


def _moved(held: Installation, event: Event, now: float, rules: Rules) -> _Changes:
    probation_until = now + rules.probation_seconds
    if event is Event.PREPARED:
        good = _good_with_offer(held)
        return _Changes(good=good, withdrawn=False, probation_until=probation_until, strikes=0)
    if event is Event.PROBATION_OVER:
        return _Changes(good=held.good[:GOOD_VERSIONS], floor=max(held.floor, held.offered_floor))
    if event is Event.RESTART:
        return _Changes(probation_until=probation_until)
    if event is Event.WITHDRAW:
        return _Changes(withdrawn=True, failed_starts=0, retry_at=0.0, reload_at=0.0, code="", reason="")
    return _Changes(reload_at=0.0) if event is Event.RELOAD else _Changes()


def _offered(held: Installation, given: Given, event: Event) -> _Changes:
    if event is Event.RELABEL and isinstance(given, Offered):
        good = held.good
        if held.state in {InstallState.PROBATION, InstallState.ACTIVE} and good:
            good = (replace(good[0], rollout=given.offer.rollout), *good[1:])
        return _Changes(offer=given.offer, good=good)
    changes = _Changes(
        attempt=held.attempt + 1,
        tries=held.tries + 1 if event is Event.RETRY else 1,
        counter=0,
        offered_floor=0,
        code="",
        reason="",
        retry_at=0.0,
        losses=0,
        strikes=0,
    )
    if isinstance(given, Offered):
        changes["offer"] = given.offer
    if event is Event.BANNED:
        changes["code"] = "banned"
        changes["reason"] = "it failed on this device before, for the same rollout"
    return changes


def _failed(held: Installation, given: Given, event: Event, now: float) -> _Changes:
    if event is Event.CRASH_LOOP:
        code, reason = "crash-loop", f"loading it took the daemon down {MAX_RESTARTS} times"
    elif isinstance(given, Outcome) and given.event is not Event.CHUNKS_LOST:
        code, reason = given.code, given.reason
    else:
        code, reason = "disk-damaged", f"stored chunks were damaged {MAX_LOSSES} times; look at the disk"
    if code in RETRYABLE and held.tries < MAX_TRIES:
        pause = RETRY_SECONDS * 2 ** max(held.tries - 1, 0)
        return _Changes(code=code, reason=reason, retry_at=now + pause)
    changes = _Changes(code=code, reason=reason, retry_at=0.0)
    if held.offer is not None:
        changes["bans"] = _with_ban(held, held.offer)
    return changes


def _reverted(held: Installation, given: Given, event: Event) -> _Changes:
    if not held.good:
        return _Changes()
    changes = _Changes(good=held.good[1:], failed_starts=0, reload_at=0.0, bans=_with_ban(held, held.good[0]))
    if held.state in {InstallState.PROBATION, InstallState.ACTIVE}:
        changes["code"] = event.value
        changes["reason"] = (
            given.reason if isinstance(given, Struck) else f"it did not start {MAX_RESTARTS} times"
        )
    return changes


def _with_ban(held: Installation, fallen: Offer | Proven) -> tuple[Ban, ...]:
    ban = Ban(artifact=fallen.artifact, rollout=fallen.rollout)
    return (*(each for each in held.bans if each != ban), ban)[-BANS_KEPT:]


def _good_with_offer(held: Installation) -> tuple[Proven, ...]:
    """Put the offered version first."""
    if held.offer is None:
        return held.good
    offer = held.offer
    first = Proven(
        version=offer.version, artifact=offer.artifact, rollout=offer.rollout, counter=held.counter
    )
    return (first, *(each for each in held.good if each.artifact != first.artifact))
