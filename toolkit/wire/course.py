"""How far a rollout has come: what its driver knows and no report says. Sealed and retained, beside the rollout.

Written by `fleet.steer`, read by the driver that comes after it, and by whoever looks. Times are seconds that have
passed under a driver, never times of a day: machines with other clocks go on counting where the last one stopped, and
a clock that is wrong ends nothing early.
"""

from __future__ import annotations

import math
from typing import ClassVar

import msgspec

from toolkit.errors import IntegrityError
from toolkit.wire.document import Document, decode_json
from toolkit.wire.rollout import MAX_QUERIES
from toolkit.wire.topics import check_label

MAX_WHY = 1000
"""Characters of a reason."""


class Course(Document, frozen=True, kw_only=True, omit_defaults=True):
    """Where a rollout stood when its driver last wrote it down."""

    FORMAT: ClassVar[int] = 2
    READS: ClassVar[tuple[int, ...]] = (1, 2)
    rollout: str
    number: int
    """Of the rollout, so that another one of the same name does not go on from here."""
    fence: int
    """Number of the driver's term."""
    seq: int
    """Grows with each document of a term."""
    state: str
    wave: int = 0
    """Number of the present wave, from 0."""
    told: int = 0
    """So many devices, from the first, have been told."""
    credit: float = 1.0
    """What the pace still allows."""
    ran_seconds: float = 0.0
    """How long it has run, pauses left out."""
    wave_seconds: float | None = None
    """How long all of the present wave have been told."""
    soak_seconds: float | None = None
    """How long the present wave has been done."""
    why: str = ""
    """Why it failed or timed out, for people."""
    figures: dict[str, float] = msgspec.field(default_factory=dict)
    """What Prometheus said last, by the names of the rollout's queries; for people."""

    def needed_format(self) -> int:
        """Give 2 for a course with figures; else 1."""
        return 2 if self.figures else 1


def decode_course(data: bytes) -> Course:
    """Read a course whose seal has been opened.

    Raises:
        IntegrityError: it is damaged, or a figure of it means nothing.
    """
    course = decode_json(data, Course, what="course of a rollout")
    check_label(course.rollout, what="rollout")
    figures = (
        course.number, course.fence, course.seq, course.wave, course.told, course.credit, course.ran_seconds,
        course.wave_seconds or 0.0, course.soak_seconds or 0.0,
    )  # fmt: skip
    if len(course.figures) > MAX_QUERIES or not all(map(math.isfinite, course.figures.values())):
        raise IntegrityError(f"the course of rollout {course.rollout} has figures that mean nothing")
    if not all(figure >= 0 and math.isfinite(figure) for figure in figures) or len(course.why) > MAX_WHY:
        raise IntegrityError(f"the course of rollout {course.rollout} has a figure that means nothing")
    return course
