"""The one table of an installation: which state follows which, and what is to be done on the way. Pure.

`edge_runtime.install` gives `step` what happened, saves the installation that it returns, and only then carries out the
actions; each action ends in an `Outcome` that is given to `step` again. Because every state has a row for RESTART that
begins its work anew, and every action may be repeated, a crash at any point costs time and nothing else.

    IDLE -> OFFERED -> WAITING_WINDOW -> SEEDING -> DOWNLOADING -> VERIFYING -> STAGED -> ACTIVATING
         -> PROBATION -> ACTIVE
    OFFERED -> REJECTED;  any work -> FAILED or CANCELLED;  PROBATION, ACTIVE -> ROLLED_BACK;  any rest -> IDLE

Whether an offer is acceptable is decided in `protocol.offer`, how its chunks travel in `protocol.transfer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from toolkit.protocol.follow import follow
from toolkit.protocol.installation import (
    GOOD_VERSIONS,
    Action,
    Event,
    Given,
    Installation,
    Needs,
    Rules,
)
from toolkit.protocol.interpret import interpret
from toolkit.wire.states import FINISHED, InstallState

S = InstallState


@dataclass(frozen=True)
class Arrow:
    """Where an event leads, and what is done after the arrow has been saved."""

    to: InstallState
    actions: tuple[Action, ...] = ()


_WORK: Final[dict[InstallState, Action]] = {
    S.OFFERED: Action.CHECK_OFFER,
    S.WAITING_WINDOW: Action.AWAIT_WINDOW,
    S.SEEDING: Action.SEED,
    S.DOWNLOADING: Action.DOWNLOAD,
    S.VERIFYING: Action.ASSEMBLE,
    S.STAGED: Action.CHECK_GOLDEN,
    S.ACTIVATING: Action.PREPARE,
}
"""The states in which work is under way, and the work."""
_RESTING = FINISHED | {S.PROBATION}
"""The states in which nothing is under way."""

TABLE: Final[dict[tuple[InstallState, Event], Arrow]] = {
    # ---- the way of a healthy installation
    (S.OFFERED, Event.ACCEPT): Arrow(S.WAITING_WINDOW, (Action.AWAIT_WINDOW,)),
    (S.WAITING_WINDOW, Event.WINDOW): Arrow(S.SEEDING, (Action.SEED,)),
    (S.SEEDING, Event.SEEDED): Arrow(S.DOWNLOADING, (Action.DOWNLOAD,)),
    (S.DOWNLOADING, Event.DOWNLOADED): Arrow(S.VERIFYING, (Action.ASSEMBLE,)),
    (S.VERIFYING, Event.VERIFIED): Arrow(S.STAGED, (Action.CLEAN, Action.CHECK_GOLDEN)),
    (S.STAGED, Event.PASSED): Arrow(S.ACTIVATING, (Action.PREPARE,)),
    (S.ACTIVATING, Event.PREPARED): Arrow(S.PROBATION, (Action.SERVE,)),
    (S.PROBATION, Event.PROBATION_OVER): Arrow(S.ACTIVE, (Action.CLEAN,)),
    # ---- short cuts and detours
    (S.OFFERED, Event.FOUND_SERVING): Arrow(S.ACTIVE, (Action.SERVE, Action.CLEAN)),
    (S.OFFERED, Event.FOUND_INSTALLED): Arrow(S.VERIFYING, (Action.ASSEMBLE,)),
    (S.VERIFYING, Event.CHUNKS_LOST): Arrow(S.SEEDING, (Action.SEED,)),
    # ---- ends that are not ACTIVE
    (S.OFFERED, Event.REFUSE): Arrow(S.REJECTED, (Action.STOP, Action.CLEAN)),
    (S.PROBATION, Event.UNHEALTHY): Arrow(S.ROLLED_BACK, (Action.SERVE, Action.CLEAN)),
    (S.ACTIVE, Event.UNHEALTHY): Arrow(S.ROLLED_BACK, (Action.SERVE, Action.CLEAN)),
    (S.PROBATION, Event.BOOT_LOOP): Arrow(S.ROLLED_BACK, (Action.SERVE, Action.CLEAN)),
    (S.ACTIVE, Event.BOOT_LOOP): Arrow(S.ROLLED_BACK, (Action.SERVE, Action.CLEAN)),
    (S.ACTIVATING, Event.CRASH_LOOP): Arrow(S.FAILED, (Action.SERVE, Action.CLEAN)),
    **{
        (state, Event.FAIL): Arrow(S.FAILED, (Action.STOP, Action.CLEAN))
        for state in _WORK
        if state is not S.WAITING_WINDOW
    },
    # ---- offers
    **{(state, Event.OFFER): Arrow(S.OFFERED, (Action.CHECK_OFFER,)) for state in _RESTING},
    **{(state, Event.OFFER): Arrow(S.OFFERED, (Action.STOP, Action.CHECK_OFFER)) for state in _WORK},
    **{(state, Event.BANNED): Arrow(S.REJECTED) for state in _RESTING},
    **{(state, Event.BANNED): Arrow(S.REJECTED, (Action.STOP, Action.CLEAN)) for state in _WORK},
    **{(state, Event.RELABEL): Arrow(state) for state in (*_WORK, S.PROBATION, S.ACTIVE)},
    **{(state, Event.WITHDRAW): Arrow(S.CANCELLED, (Action.STOP, Action.SERVE)) for state in _WORK},
    **{(state, Event.WITHDRAW): Arrow(S.IDLE, (Action.SERVE,)) for state in _RESTING - {S.IDLE, S.CANCELLED}},
    (S.CANCELLED, Event.EVICT): Arrow(S.IDLE),
    (S.REJECTED, Event.RETRY): Arrow(S.OFFERED, (Action.CHECK_OFFER,)),
    (S.FAILED, Event.RETRY): Arrow(S.OFFERED, (Action.CHECK_OFFER,)),
    # ---- the version that serves while something else goes on
    **{(state, Event.RELOAD): Arrow(state, (Action.SERVE,)) for state in InstallState},
    **{
        (state, Event.UNHEALTHY): Arrow(state, (Action.SERVE,))
        for state in InstallState
        if state not in (S.PROBATION, S.ACTIVE)
    },
    # ---- the daemon starts
    **{(state, Event.RESTART): Arrow(state, (Action.SERVE, Action.CLEAN)) for state in _RESTING},
    **{(state, Event.RESTART): Arrow(state, (Action.SERVE, work)) for state, work in _WORK.items()},
    **{
        (state, Event.BOOT_LOOP): Arrow(state, (Action.SERVE, *([_WORK[state]] if state in _WORK else [])))
        for state in InstallState
        if state not in (S.PROBATION, S.ACTIVE)
    },
}
"""(state, event) -> arrow. A pair that is neither here nor in IGNORED cannot occur."""

_LATE = frozenset(
    {
        Event.ACCEPT,
        Event.FOUND_INSTALLED,
        Event.FOUND_SERVING,
        Event.REFUSE,
        Event.WINDOW,
        Event.SEEDED,
        Event.DOWNLOADED,
        Event.VERIFIED,
        Event.CHUNKS_LOST,
        Event.PASSED,
        Event.PREPARED,
        Event.FAIL,
    }
)
"""Outcomes. In a state that does not wait for one it is the late end of work that was given up."""
_NEVER: Final[dict[Event, frozenset[InstallState]]] = {
    Event.WITHDRAW: frozenset({S.IDLE, S.CANCELLED}),
    # Nothing is under way that could carry the new name; `step` makes an OFFER of it.
    Event.RELABEL: FINISHED - {S.ACTIVE},
    Event.RETRY: frozenset(InstallState) - {S.REJECTED, S.FAILED},
    Event.EVICT: frozenset(InstallState) - {S.CANCELLED},
    Event.PROBATION_OVER: frozenset(InstallState) - {S.PROBATION},
    Event.CRASH_LOOP: frozenset(InstallState) - {S.ACTIVATING},
}
IGNORED: Final = frozenset(
    {(state, event) for state in InstallState for event in _LATE if (state, event) not in TABLE}
    | {(state, event) for event, states in _NEVER.items() for state in states}
)
"""Pairs that change nothing."""


_DEFAULT_RULES: Final = Rules()


def step(
    installation: Installation, given: Given, now: float, rules: Rules = _DEFAULT_RULES
) -> tuple[Installation, tuple[Action, ...]]:
    """Decide what follows from what happened.

    Args:
        installation: as last saved.
        given: what happened.
        now: seconds of a clock that does not go back.
        rules: the model's configuration.

    Returns:
        The installation to save (equal to the old one when nothing is to be saved), and what to do after that.
    """
    noted, event = interpret(installation, given, now)
    if event is None or (noted.state, event) in IGNORED:
        return noted, ()
    arrow = TABLE[noted.state, event]
    return follow(noted, given, event, arrow.to, now, rules), arrow.actions


def needs(installation: Installation) -> Needs:
    """Say which artifacts of this model must stay on the disk; everything else of the model may be deleted."""
    good = installation.good if installation.state is S.PROBATION else installation.good[:GOOD_VERSIONS]
    versions = {each.artifact for each in good}
    parts: set[str] = set()
    if installation.offer is not None:
        if installation.state in {S.OFFERED, S.WAITING_WINDOW, S.VERIFYING, S.STAGED, S.ACTIVATING}:
            versions.add(installation.offer.artifact)
        fetching = {S.OFFERED, S.WAITING_WINDOW, S.SEEDING, S.DOWNLOADING, S.VERIFYING, S.CANCELLED}
        if installation.state in fetching or installation.retry_at:
            parts.add(installation.offer.artifact)
    return Needs(frozenset(versions), frozenset(parts))
