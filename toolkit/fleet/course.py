"""From a driver's progress to the course that stands retained, and back in another driver. Pure.

Between `protocol.waves` and `steer`; `status` reads courses too, so that it says what the driver says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from toolkit.protocol.waves import NO_FIGURES, Progress, RolloutState
from toolkit.wire.course import MAX_WHY, Course
from toolkit.wire.rollout import Rollout

_VERDICTS = frozenset({RolloutState.SUCCEEDED, RolloutState.FAILED, RolloutState.TIMED_OUT})


def course_of(
    rollout: Rollout,
    progress: Progress,
    now: float,
    *,
    fence: int,
    seq: int,
    figures: Mapping[str, float] = NO_FIGURES,
) -> Course:
    """Write down where a rollout stands; `now` on the clock of `progress`, in seconds."""

    def passed(since: float | None) -> float | None:
        return None if since is None else round(max(now - since, 0.0), 3)

    return Course(
        rollout=rollout.name,
        number=rollout.number,
        fence=fence,
        seq=seq,
        state=progress.state.value,
        wave=progress.wave,
        told=progress.told,
        credit=round(progress.credit, 6),
        ran_seconds=passed(progress.began) or 0.0,
        wave_seconds=passed(progress.wave_since),
        soak_seconds=passed(progress.soak_since),
        why=progress.why[:MAX_WHY],
        figures=dict(figures),
    )


def progress_of(rollout: Rollout, course: Course | None, now: float) -> Progress:
    """Go on from a course; `now` in seconds of one's own clock. Begins anew when it is none of this rollout's."""
    if course is None or course.number != rollout.number or course.state not in set(RolloutState):
        return Progress()
    return Progress(
        state=RolloutState(course.state),
        wave=min(course.wave, max(len(rollout.spec.waves) - 1, 0)),
        soak_since=None if course.soak_seconds is None else now - course.soak_seconds,
        told=min(course.told, len(rollout.spec.devices)),
        credit=min(course.credit, 1.0),
        began=now - course.ran_seconds,
        wave_since=None if course.wave_seconds is None else now - course.wave_seconds,
        why=course.why,
    )


def with_verdict(rollout: Rollout, progress: Progress, course: Course | None) -> Progress:
    """Take over what another driver has decided for good, and how far it had come."""
    theirs = progress_of(rollout, course, 0.0)
    if progress.why or progress.state in _VERDICTS:
        return progress
    if theirs.why or theirs.state in _VERDICTS:
        progress = replace(progress, state=theirs.state, why=theirs.why)
    if theirs.wave > progress.wave:
        progress = replace(progress, wave=theirs.wave, soak_since=None, wave_since=None)
    return replace(progress, told=max(progress.told, theirs.told))


def says_the_same(one: Course, other: Course) -> bool:
    """Say whether two courses differ in times and numbers only."""
    return (one.number, one.state, one.wave, one.why) == (other.number, other.state, other.wave, other.why)
