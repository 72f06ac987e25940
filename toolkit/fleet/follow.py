"""Follow a rollout until it ends or the time is over, and say what that means: `--wait` of the commands.

Comes after `rollout`, which started it; reads the same rows as `status`, and remembers when the present soak began.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from toolkit.errors import GateRefusedError, RolloutError, TiersError
from toolkit.fleet.reports import Watch
from toolkit.fleet.status import Refusal, RolloutRow, look, row_of
from toolkit.protocol.waves import Progress, RolloutState

_MOST_NAMES = 5
_LOOK_SECONDS = 0.1
"""A fleet that talks a lot must not keep us counting."""


def follow(
    watch: Watch,
    name: str,
    seconds: float,
    on_change: Callable[[RolloutRow], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> RolloutRow:
    """Watch a rollout until it ends or the time is over; `verdict` says which.

    Args:
        watch: of the site, settled.
        name: of a rollout that stands on the broker.
        seconds: how long to watch.
        on_change: called with each row that differs from the one before.
        stop: asked again and again; True ends the watch early.

    Raises:
        RolloutError: the rollout was cleared away.
    """
    followed = _Followed(watch, name, on_change)
    watch.wait_for(lambda: stop() or followed.ended(), seconds)
    return followed.look()


class _Followed:
    """A rollout under watch, with the start of its soak."""

    def __init__(self, watch: Watch, name: str, on_change: Callable[[RolloutRow], None] | None) -> None:
        self._watch = watch
        self._name = name
        self._on_change = on_change
        self._progress = Progress()
        self._last: RolloutRow | None = None
        self._next_look = 0.0

    def look(self) -> RolloutRow:
        rollout = self._watch.retained.rollouts.get(self._name)
        if rollout is None:
            raise RolloutError(
                f"rollout {self._name} was cleared from the broker", hint="tiers rollout status"
            )
        decided = look(self._watch.retained, rollout, self._progress, time.monotonic())
        self._progress = decided.progress
        row = row_of(self._watch.retained, rollout, decided)
        if self._on_change is not None and row != self._last:
            self._on_change(row)
        self._last = row
        return row

    def ended(self) -> bool:
        if time.monotonic() < self._next_look:
            return False
        ended = self.look().ended
        self._next_look = time.monotonic() + _LOOK_SECONDS
        return ended


def verdict(
    row: RolloutRow, seconds: float, *, wanted: RolloutState = RolloutState.SUCCEEDED
) -> TiersError | None:
    """Give the error that a followed rollout ends with; None when it came to where it should.

    Args:
        row: what `follow` gave.
        seconds: how long it watched.
        wanted: where it should come to; ROLLED_BACK for somebody who takes it back.
    """
    if row.state == wanted.value:
        return None
    label = f"rollout {row.name} ({row.model} {row.version})"
    status = f"tiers rollout status {row.name}"
    if row.state == RolloutState.FAILED.value:
        who = "; ".join(_refusal(each) for each in row.refusals[:_MOST_NAMES])
        more = f" and {len(row.refusals) - _MOST_NAMES} more" if len(row.refusals) > _MOST_NAMES else ""
        what = f"was refused by {who}{more}" if who else f"failed: {row.why}"
        why = f" ({row.why})" if who and row.why else ""
        return GateRefusedError(
            f"{label} {what}{why}", hint=f"push a better version, or look closer: {status}"
        )
    if row.state == RolloutState.TIMED_OUT.value:
        return GateRefusedError(f"{label} ran out of time: {row.why}", hint=status)
    if row.ended:
        return RolloutError(f"{label} is {row.state}", hint=f"tiers rollout start {row.model}")
    if row.action == "pause":
        return RolloutError(f"{label} is paused", hint=f"tiers rollout resume {row.name}")
    if row.state == RolloutState.AWAITING_APPROVAL.value:
        return RolloutError(
            f"{label} waits for approval after wave {row.wave} of {row.waves}",
            hint=f"tiers rollout approve {row.name}",
        )
    missing = ", ".join(row.missing[:_MOST_NAMES]) + (", …" if len(row.missing) > _MOST_NAMES else "")
    state = f"{label} is {row.state} in wave {row.wave} of {row.waves} after {seconds:.0f} s"
    if row.untold:
        return RolloutError(
            f"{state}: nobody has told {', '.join(row.untold[:_MOST_NAMES])} yet",
            hint="tiers rollout run, or tiers depot --steer, if no driver runs on this site",
        )
    waits = f": no answer from {missing}" if missing else ""
    return RolloutError(f"{state}{waits}", hint=f"{status}; it goes on without us")


def _refusal(refusal: Refusal) -> str:
    why = ": ".join(part for part in (refusal.code, refusal.reason) if part)
    return f"{refusal.device} ({why or refusal.state})"
