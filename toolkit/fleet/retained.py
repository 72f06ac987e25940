"""What stands retained on a site's broker, as far as it can be believed: reports, presence, desired states, rollouts.

`reports.Watch` hands every message to `take`. Nothing here is trusted: a device speaks only for itself, a desired state
or a rollout counts only under a trusted seal, sizes and numbers have limits, and what does not hold is counted, logged
with its topic and left out. Read by `steer`, `rollout` and `status`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from toolkit.errors import IntegrityError
from toolkit.wire.course import Course, decode_course
from toolkit.wire.desired import Desired, decode_desired
from toolkit.wire.document import MAX_DOCUMENT_BYTES, decode_json
from toolkit.wire.keyring import Keyring
from toolkit.wire.report import Presence, Report, decode_report
from toolkit.wire.rollout import Rollout, decode_rollout
from toolkit.wire.signature import Sealed, SealedType, unseal
from toolkit.wire.topics import Topics

log = logging.getLogger(__name__)

MAX_TOPICS = 100_000
"""Most documents of one kind that are kept: a broker that invents devices must not eat our memory."""
MAX_NUMBER = 2**53
"""Largest sequence number: what JSON readers of all kinds hold exactly. A larger one would end all counting."""
_MAX_REMEMBERED = 100

Kind = Literal["report", "presence", "desired", "rollout", "course"]
T = TypeVar("T")
_KINDS: dict[str, Kind] = {"st": "report", "up": "presence", "desired": "desired"}


@dataclass
class Retained:
    """The documents of a site. For one thread."""

    topics: Topics
    keyring: Keyring | None
    """Whose seals hold; None takes every seal, which is good enough for looking and for nothing else."""
    reports: dict[str, Report] = field(default_factory=dict)
    online: dict[str, bool] = field(default_factory=dict)
    desired: dict[str, Desired] = field(default_factory=dict)
    """What stands on each device's topic, when it can be believed."""
    rollouts: dict[str, Rollout] = field(default_factory=dict)
    courses: dict[str, Course] = field(default_factory=dict)
    """How far each rollout has come, by its name."""
    ignored: dict[str, str] = field(default_factory=dict)
    """Topic -> why its document does not count; the first hundred."""
    ignored_count: int = 0
    _highest: dict[str, int] = field(default_factory=dict)
    _seen: set[str] | None = None
    """Topics that have come since `expect_all`; None when nothing is expected."""

    def kind_of(self, topic: str) -> Kind | None:
        """Say what belongs on a topic; None when it is nothing of ours."""
        root = f"{self.topics.root}/"
        parts = topic.removeprefix(root).split("/")
        if not topic.startswith(root):
            return None
        if parts[0] == "r" and len(parts) == 2:  # noqa: PLR2004  # r/NAME
            return "rollout"
        if parts[0] == "r" and parts[2:] == ["c"]:  # r/NAME/c
            return "course"
        return _KINDS.get(parts[2]) if parts[0] == "d" and len(parts) == 3 else None  # noqa: PLR2004  # d/NAME/KIND

    def take(self, topic: str, payload: bytes) -> Kind | None:
        """Take a message, believe it or not, and say what it was about; None when it is nothing of ours."""
        kind = self.kind_of(topic)
        if kind is None:
            return None
        if self._seen is not None:
            self._seen.add(topic)
        parts = topic.split("/")
        name = parts[-1] if kind == "rollout" else parts[-2]
        try:
            if kind == "rollout":
                self._take_rollout(topic, name, payload)
            elif kind == "course":
                self._take_course(topic, name, payload)
            else:
                self._take_of_device(kind, self.topics.device_of(topic), payload)
        except IntegrityError as error:
            self._ignore(topic, error.message)
        else:
            self.ignored.pop(topic, None)
        return kind

    def expect_all(self) -> None:
        """Say that what comes from now on is all that a broker retains: when a connection has ended."""
        self._seen = set()

    def forget_unseen(self) -> None:
        """Say that it has: what did not come is gone, for a broker may have lost it, or it was cleared meanwhile."""
        seen, self._seen = self._seen, None
        if seen is None:
            return
        for kept, topic_of in (
            (self.reports, self.topics.state),
            (self.online, self.topics.presence),
            (self.desired, self.topics.desired),
            (self.rollouts, self.topics.rollout),
            (self.courses, self.topics.course),
        ):
            gone = [name for name in kept if topic_of(name) not in seen]
            for name in gone:
                del kept[name]
            if gone:
                log.warning("the broker no longer has %d documents such as %s", len(gone), topic_of(gone[0]))

    def highest_seq(self, device: str) -> int:
        """Give the highest number of a desired state that we, the device or the broker know of; 0 for none."""
        report = self.reports.get(device)
        return max(self._highest.get(device, 0), report.desired_seq if report else 0)

    def highest_fence(self) -> int:
        """Give the highest term of a driver among what stands."""
        told = max((desired.fence for desired in self.desired.values()), default=0)
        return max(told, max((course.fence for course in self.courses.values()), default=0))

    def _take_of_device(self, kind: Kind, device: str, payload: bytes) -> None:
        if kind == "desired":
            self.desired.pop(device, None)  # whatever came, the broker no longer has the one before
            if payload:
                desired = decode_desired(self._open(payload, "desired", f"desired state of {device}"), device)
                _check_numbers(f"desired state of {device}", desired.seq, desired.fence)
                self._highest[device] = max(self._highest.get(device, 0), desired.seq)
                _keep(self.desired, device, desired)
        elif not payload:
            (self.reports if kind == "report" else self.online).pop(device, None)
        elif kind == "report":
            report = decode_report(payload, device)
            _check_numbers(f"report of {device}", report.seq, report.desired_seq)
            _keep(self.reports, device, report)
        else:
            presence = decode_json(payload, Presence, what=f"presence of {device}")
            if presence.device != device:
                raise IntegrityError(f"presence on the topic of {device} speaks for {presence.device[:70]!r}")
            _keep(self.online, device, presence.state == "online")

    def _take_rollout(self, topic: str, name: str, payload: bytes) -> None:
        if not payload:
            self.rollouts.pop(name, None)
            return
        rollout = decode_rollout(self._open(payload, "rollout", f"rollout {name[:70]!r}"))
        if self.topics.rollout(rollout.name) != topic:
            raise IntegrityError(f"a rollout named {rollout.name} stands on the topic of {name[:70]!r}")
        _check_numbers(f"rollout {name}", rollout.seq, rollout.number)
        known = self.rollouts.get(name)
        if known is not None and (rollout.number, rollout.seq) < (known.number, known.seq):
            raise IntegrityError(f"rollout {name}: change {rollout.seq} came after change {known.seq}")
        _keep(self.rollouts, name, rollout)

    def _take_course(self, topic: str, name: str, payload: bytes) -> None:
        if not payload:
            self.courses.pop(name, None)
            return
        course = decode_course(self._open(payload, "course", f"course of rollout {name[:70]!r}"))
        if self.topics.course(course.rollout) != topic:
            raise IntegrityError(f"the course of {course.rollout} stands on the topic of {name[:70]!r}")
        _check_numbers(f"course of rollout {name}", course.number, course.fence, course.seq, course.told)
        _keep(self.courses, name, course)

    def _open(self, data: bytes, kind: SealedType, what: str) -> bytes:
        if self.keyring is not None:
            return unseal(data, kind, self.keyring, what=what)
        return decode_json(data, Sealed, what=what, limit=2 * MAX_DOCUMENT_BYTES).payload

    def _ignore(self, topic: str, why: str) -> None:
        self.ignored_count += 1
        if self.ignored.get(topic) == why:
            return
        log.warning("ignored what stands on %s: %s", ascii(topic[:200]), ascii(why))
        if topic in self.ignored or len(self.ignored) < _MAX_REMEMBERED:
            self.ignored[topic] = why


def _check_numbers(what: str, *numbers: int) -> None:
    if not all(0 <= number <= MAX_NUMBER for number in numbers):
        raise IntegrityError(f"{what} counts with a number that is negative or above {MAX_NUMBER}")


def _keep(kept: dict[str, T], name: str, document: T) -> None:
    if name not in kept and len(kept) >= MAX_TOPICS:
        raise IntegrityError(f"there are more than {MAX_TOPICS} of these; {name} is left out")
    kept[name] = document
