"""Decide what each device of a simulated fleet shall run, by the same rules as `fleet.steer`, and fast for very many.

    rollouts, reports, presence -> protocol.waves.step -> fleet.wanted.changed -> what would be written

`steer` asks about every device at each look; a desk asks only about those whose lot the last step has changed, which is
the same answer for a hundred thousand devices. `week` feeds it with simulated reports, `replay` with those of a real
driver's journal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from toolkit.fleet.steer import WRITES_PER_TICK
from toolkit.fleet.wanted import changed, leading, reports_of
from toolkit.protocol.waves import Progress, Step, step
from toolkit.wire.desired import DesiredModel
from toolkit.wire.report import ModelReport, Report
from toolkit.wire.rollout import Rollout

Models = tuple[DesiredModel, ...]


@dataclass(frozen=True)
class Writing:
    """A desired state that would be written."""

    device: str
    models: Models


@dataclass
class _Course:
    """A leading rollout and what is known of it."""

    rollout: Rollout
    said: dict[str, ModelReport] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    decided: Step | None = None
    members: frozenset[str] = frozenset()


class Desk:
    """A driver without a broker. For one thread."""

    def __init__(self, *, writes_per_look: int | None = WRITES_PER_TICK, hears_itself: bool = False) -> None:
        """Begin with nothing known.

        Args:
            writes_per_look: most documents of one look, as of a real driver; None when looks are so far apart that a
                real one would have written all of them in between.
            hears_itself: a device gets nothing more before `take_desired` has told that the last document is there, as
                with a real driver; otherwise documents are there at once.
        """
        self.desired: dict[str, Models] = {}
        """What each device shall run."""
        self.online: dict[str, bool] = {}
        self.steps = 0
        """How often `waves.step` was asked."""
        self._writes_per_look = writes_per_look
        self._hears_itself = hears_itself
        self._on_their_way: set[str] = set()
        self._rollouts: dict[str, Rollout] = {}
        self._reports: dict[str, Report] = {}
        self._courses: dict[str, _Course] = {}
        self._owed: dict[str, dict[str, None]] = {}
        """Model -> devices about which is to be asked."""

    @property
    def progress(self) -> dict[str, Progress]:
        """Where each leading rollout stands, by its name."""
        return {each.rollout.name: each.progress for each in self._courses.values()}

    def take_rollout(self, rollout: Rollout) -> None:
        """Take a new rollout, or a changed one."""
        self._rollouts[rollout.name] = rollout
        self._lead()

    def drop_rollout(self, name: str) -> None:
        """Forget a rollout that was cleared."""
        self._rollouts.pop(name, None)
        self._lead()

    def take_report(self, report: Report) -> None:
        """Take what a device says of itself."""
        self._reports[report.device] = report
        for course in self._courses.values():
            if report.device in course.members:
                self._hear(course, report)

    def drop_report(self, device: str) -> None:
        """Forget a report that was cleared."""
        self._reports.pop(device, None)
        for course in self._courses.values():
            course.said.pop(device, None)

    def take_presence(self, device: str, *, online: bool) -> None:
        """Take whether a device is connected."""
        self.online[device] = online

    def take_desired(self, device: str) -> None:
        """Take that the broker shows what was written for a device."""
        self._on_their_way.discard(device)

    def look(self, now: float) -> list[Writing]:
        """Let every leading rollout take its step, and give what is to be written, in a driver's order.

        Args:
            now: seconds of a clock that only grows.
        """
        wanted: dict[str, Models] = {}
        for model, course in self._courses.items():
            self.steps += 1
            decided = step(course.rollout, course.said, course.progress, now, online=self.online)
            course.progress = decided.progress
            owed = self._owed[model]
            owed.update(dict.fromkeys(self._touched(course, decided)))
            spec = course.rollout.spec
            for device in (*spec.devices, *spec.followers) if owed else ():
                if device in owed:
                    models = wanted.get(device, self.desired.get(device, ()))
                    wanted[device] = changed(models, course.rollout, decided, device)
        due = [
            Writing(device, models)
            for device, models in wanted.items()
            if models != self.desired.get(device, ())
        ]
        written = [each for each in due if each.device not in self._on_their_way][: self._writes_per_look]
        for writing in written:
            self.desired[writing.device] = writing.models
        if self._hears_itself:
            self._on_their_way.update(writing.device for writing in written)
        later = {writing.device for writing in due} - {writing.device for writing in written}
        for model, owed in self._owed.items():
            self._owed[model] = {device: None for device in owed if device in later}
        return written

    # ------------------------------------------------------------ inside
    def _lead(self) -> None:
        """Keep a course for the leading rollout of each model; a new one begins by asking about everybody."""
        before, self._courses = self._courses, {}
        for model, rollout in leading(self._rollouts.values()).items():
            course = before.get(model)
            if course is not None and course.rollout.name == rollout.name:
                same = rollout.spec == course.rollout.spec
                course.rollout = rollout
            else:
                course, same = _Course(rollout), False
            if not same:
                self._begin(course)
            self._courses[model] = course
            self._owed.setdefault(model, {})

    def _begin(self, course: _Course) -> None:
        spec = course.rollout.spec
        course.said, course.decided = {}, None
        course.members = frozenset((*spec.devices, *spec.followers))
        for device in spec.devices:
            if device in self._reports:
                self._hear(course, self._reports[device])

    @staticmethod
    def _hear(course: _Course, report: Report) -> None:
        """Ask `wanted` what a report says of the rollout's model, about this one device."""
        device = report.device
        spec = replace(course.rollout.spec, devices=(device,))
        said = reports_of(replace(course.rollout, spec=spec), {device: report})
        if device in said:
            course.said[device] = said[device]
        else:
            course.said.pop(device, None)

    @staticmethod
    def _touched(course: _Course, decided: Step) -> Iterable[str]:
        """Give the devices whose lot is another one than after the step before."""
        before, course.decided = course.decided, decided
        spec = course.rollout.spec
        if before is None:
            return (*spec.devices, *spec.followers)
        same = before.shall_have == decided.shall_have and before.take_back == decided.take_back
        if same and before.attempts == decided.attempts and before.progress.state is decided.progress.state:
            return ()
        touched = (
            (decided.having ^ before.having)
            | (decided.going_back ^ before.going_back)
            | frozenset(spec.followers)
        )
        touched |= {
            device for device, number in decided.attempts.items() if before.attempts.get(device) != number
        }
        return touched
