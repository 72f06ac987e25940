"""A rollout over a simulated week for very many devices: a heap of events, and the driver's own decisions.

Devices come and go by their `habits`; whoever is told a version fetches it when it is on the network (its own line and
the depot's rate are the limits; a fetch that is cut goes on later), checks it, and reports. A `desk` decides as a real
driver does, by `protocol.waves.step` and `fleet.wanted`; it looks at most every `look_seconds` of simulated time.
`plot` draws what comes out, `benchmarks/rollout_fleet.py` prints it.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from toolkit.fleet.simulate.desk import Desk, Writing
from toolkit.fleet.simulate.habits import DAY, HOUR, Habit, first_change, habit_of, next_change
from toolkit.protocol.waves import ENDED, Progress, order_of
from toolkit.wire.desired import DesiredModel
from toolkit.wire.digest import digest_of
from toolkit.wire.report import ModelReport, Report
from toolkit.wire.rollout import Limit, Rollout, RolloutSpec, Wave
from toolkit.wire.states import InstallState

MODEL = "model"
OLD, NEW = "1.0.0", "1.1.0"
_OLD_ARTIFACT, _NEW_ARTIFACT = digest_of(b"the old version"), digest_of(b"the new version")
NAME = "week"
Stage = Literal["old", "told", "fetching", "checking", "new", "refused"]
"""Where a device stands: runs the old version; was told and is away; and so on. `refused` runs the old version."""
STAGES: Final[tuple[Stage, ...]] = ("old", "told", "fetching", "checking", "new", "refused")
_PRESENCE, _FETCHED, _CHECKED, _LOOK, _SAMPLE = range(5)


@dataclass(frozen=True)
class WeekPlan:
    """A fleet and a rollout. Shares from 0 to 1, bytes, seconds."""

    devices: int = 100_000
    seed: int = 1
    days: float = 7.0
    office: float = 0.3
    """Devices that are on the network in office hours only."""
    roaming: float = 0.1
    """Devices that are away for a day or so, again and again."""
    refusing: float = 0.005
    """Devices on which the new version fails its golden check."""
    waves: tuple[float, ...] = (0.005, 0.05, 0.25, 1.0)
    soak_seconds: float = 6 * HOUR
    success: float = 0.9
    """Part of a wave that must have the version before the next one begins. At 0 a wave waits for everybody, and in a
    fleet of this size somebody comes back every minute: soaks would hardly ever end."""
    grace_seconds: float = 12 * HOUR
    """How long a wave waits for devices that are away."""
    limit: float = 0.02
    """The rollout fails when more than this part of a wave refuses; who has the version goes back."""
    executed: int = 300
    begins: float = HOUR
    fetch_bytes: int = 40_000_000
    """What a device fetches: a delta."""
    line_rate: float = 1e6
    """Bytes a second of a device's line, in the middle; the spread is log-normal with sigma 1."""
    depot_rate: float = 250e6
    """Bytes a second of the depot, for all devices together."""
    check_seconds: float = 660.0
    """Golden check and probation."""
    look_seconds: float = 900.0
    sample_seconds: float = HOUR


@dataclass(frozen=True)
class Sample:
    """How the fleet stands at a moment."""

    at: float
    """Seconds since the first moment."""
    stages: dict[Stage, int]
    online: int
    wave: int
    """The running wave, from 1; 0 before the rollout has begun."""
    waves: tuple[int, ...]
    """Devices of each wave that run the new version."""
    depot_bytes: float


@dataclass(frozen=True)
class Week:
    """What came out."""

    plan: WeekPlan
    samples: tuple[Sample, ...]
    state: str
    why: str
    ended_at: float | None
    """When the rollout was over, in seconds since the first moment; None when it was not."""
    touched: int
    """Devices that were told the new version."""
    reached: tuple[float | None, ...]
    """When 50, 90 and 99 of 100 devices ran the new version; None when that never was."""
    events: int
    steps: int


def simulate(plan: WeekPlan) -> Week:
    """Let a week pass."""
    return _World(plan).run()


def rollout_of(plan: WeekPlan, names: tuple[str, ...]) -> Rollout:
    """Give the operator's intent."""
    reach = sorted({max(1, round(share * plan.devices)) for share in (*plan.waves, 1.0)})
    spec = RolloutSpec(
        model=MODEL,
        version=NEW,
        artifact=_NEW_ARTIFACT,
        devices=order_of(NAME, names),
        waves=tuple(Wave(devices=each) for each in reach),
        previous_version=OLD,
        previous_artifact=_OLD_ARTIFACT,
        soak_seconds=plan.soak_seconds,
        max_failed=plan.devices,
        success=plan.success,
        limits=(Limit(share=plan.limit, executed=plan.executed),),
        on_failure="take-back",
        offline_grace_seconds=plan.grace_seconds,
    )
    return Rollout(name=NAME, number=1, seq=1, spec=spec)


class _Device:
    """One device; slots, because there are very many."""

    __slots__ = (
        "habit",
        "left",
        "name",
        "online",
        "owes_report",
        "refuses",
        "seq",
        "stage",
        "until",
        "wanted",
        "wave",
    )

    def __init__(self, name: str, habit: Habit, *, online: bool, refuses: bool) -> None:
        self.name = name
        self.habit = habit
        self.online = online
        self.refuses = refuses
        self.stage: Stage = "old"
        self.wanted = OLD
        self.left = 0.0
        """Seconds of fetching that are left, while it is away."""
        self.until = 0.0
        """When the present fetch or check ends; an event of another moment is stale."""
        self.owes_report = False
        self.seq = 0
        self.wave = 0


class _World:
    def __init__(self, plan: WeekPlan) -> None:
        self._plan = plan
        self._dice = random.Random(plan.seed)  # noqa: S311  # a simulation, not a secret
        self._heap: list[tuple[float, int, int, int]] = []
        self._number = 0
        # Looks are so far apart that a real driver would have written everything in between.
        self._desk = Desk(writes_per_look=None)
        self._depot_free = self._depot_bytes = 0.0
        self._samples: list[Sample] = []
        self._stages: Counter[Stage] = Counter()
        self._touched: set[str] = set()
        self._ended_at: float | None = None
        self._looking = False
        self._looked_at = -plan.look_seconds
        self._events = 0
        self._devices = self._settle()
        self._by_name = {device.name: number for number, device in enumerate(self._devices)}
        self._rollout = rollout_of(plan, tuple(self._by_name))
        self._wave_new = [0] * len(self._rollout.spec.waves)
        self._sort_into_waves()

    def _settle(self) -> list[_Device]:
        """Make everybody; all run the old version."""
        plan, dice = self._plan, self._dice
        old = (DesiredModel(model=MODEL, version=OLD, artifact=_OLD_ARTIFACT, rollout="before"),)
        devices = []
        for number in range(plan.devices):
            habit = habit_of(dice, plan.office, plan.roaming)
            online, change = first_change(habit, dice)
            name = f"device-{number:06}"
            devices.append(_Device(name, habit, online=online, refuses=dice.random() < plan.refusing))
            self._desk.desired[name] = old
            self._desk.take_presence(name, online=online)
            self._push(change, _PRESENCE, number)
        self._stages["old"] = plan.devices
        return devices

    def _sort_into_waves(self) -> None:
        first = 0
        for number, wave in enumerate(self._rollout.spec.waves):
            for name in self._rollout.spec.devices[first : wave.devices]:
                self._devices[self._by_name[name]].wave = number
            first = wave.devices

    # ------------------------------------------------------------ time
    def run(self) -> Week:
        plan = self._plan
        end = plan.days * DAY
        self._push(plan.begins, _LOOK, -1)
        self._push(0.0, _SAMPLE, -1)
        while self._heap and self._heap[0][0] <= end:
            now, _, kind, number = heapq.heappop(self._heap)
            self._events += 1
            if kind == _PRESENCE:
                self._change_presence(number, now)
            elif kind == _FETCHED:
                self._fetched(number, now)
            elif kind == _CHECKED:
                self._checked(number, now)
            elif kind == _LOOK:
                self._look(now)
            else:
                self._sample(now)
                self._push(now + plan.sample_seconds, _SAMPLE, -1)
        progress = self._progress()
        return Week(
            plan,
            tuple(self._samples),
            progress.state.value,
            progress.why,
            self._ended_at,
            len(self._touched),
            tuple(reached(self._samples, plan.devices, share) for share in (0.5, 0.9, 0.99)),
            self._events,
            self._desk.steps,
        )

    def _push(self, at: float, kind: int, number: int) -> None:
        self._number += 1
        heapq.heappush(self._heap, (at, self._number, kind, number))

    # ------------------------------------------------------------ devices
    def _change_presence(self, number: int, now: float) -> None:
        device = self._devices[number]
        device.online = not device.online
        self._push(next_change(device.habit, self._dice, now, online=device.online), _PRESENCE, number)
        self._desk.take_presence(device.name, online=device.online)
        if device.name in self._touched:
            self._tell_driver(now)
        if not device.online:
            if device.stage == "fetching":
                device.left, device.until = device.until - now, 0.0
            return
        if device.owes_report:
            self._report(device, now)
        if device.stage == "fetching":
            self._fetch(number, device.left, now)
        elif device.stage == "told":
            self._begin(number, now)

    def _told(self, writing: Writing, now: float) -> None:
        """Let a desired state reach its device, or wait on the broker for it."""
        number = self._by_name[writing.device]
        device = self._devices[number]
        device.wanted = next(each.version for each in writing.models if each.model == MODEL)
        if device.wanted == NEW:
            self._touched.add(device.name)
        if device.wanted == OLD and device.stage in {"told", "fetching"}:
            self._move(device, "old")
            device.until = 0.0
            return
        self._move(device, "told")
        if device.online:
            self._begin(number, now)

    def _begin(self, number: int, now: float) -> None:
        device, plan = self._devices[number], self._plan
        if device.wanted == OLD:  # its bytes are here, and they were checked when they came
            self._move(device, "checking")
            self._end_at(number, now + 1.0, _CHECKED)
            return
        self._move(device, "fetching")
        rate = plan.line_rate * self._dice.lognormvariate(0.0, 1.0)
        self._depot_free = max(now, self._depot_free) + plan.fetch_bytes / plan.depot_rate
        self._depot_bytes += plan.fetch_bytes
        self._fetch(number, max(plan.fetch_bytes / rate, self._depot_free - now), now)

    def _fetch(self, number: int, seconds: float, now: float) -> None:
        self._end_at(number, now + seconds, _FETCHED)

    def _end_at(self, number: int, at: float, kind: int) -> None:
        self._devices[number].until = at
        self._push(at, kind, number)

    def _fetched(self, number: int, now: float) -> None:
        device = self._devices[number]
        if device.stage == "fetching" and device.until == now:
            self._move(device, "checking")
            self._end_at(number, now + self._plan.check_seconds, _CHECKED)

    def _checked(self, number: int, now: float) -> None:
        device = self._devices[number]
        if device.stage != "checking" or device.until != now:
            return
        if device.wanted == OLD:
            self._move(device, "old")
        else:
            self._move(device, "refused" if device.refuses else "new")
        device.owes_report = True
        if device.online:
            self._report(device, now)

    def _report(self, device: _Device, now: float) -> None:
        device.owes_report = False
        device.seq += 1
        refused = device.stage == "refused"
        said = ModelReport(
            model=MODEL,
            state=InstallState.FAILED if refused else InstallState.ACTIVE,
            version=device.wanted,
            artifact=_NEW_ARTIFACT if device.wanted == NEW else _OLD_ARTIFACT,
            rollout=NAME,
            serving_version=OLD if refused else device.wanted,
            code="golden-mismatch" if refused else "",
        )
        self._desk.take_report(Report(device=device.name, seq=device.seq, models=(said,)))
        self._tell_driver(now)

    def _move(self, device: _Device, stage: Stage) -> None:
        self._stages[device.stage] -= 1
        self._stages[stage] += 1
        self._wave_new[device.wave] += (stage == "new") - (device.stage == "new")
        device.stage = stage

    # ------------------------------------------------------------ the driver
    def _tell_driver(self, now: float) -> None:
        """Have it look when it has something new, not more often than the plan says."""
        if not self._looking and self._progress().state not in ENDED:
            self._looking = True
            self._push(max(now, self._looked_at + self._plan.look_seconds), _LOOK, -1)

    def _look(self, now: float) -> None:
        if NAME not in self._desk.progress:
            self._desk.take_rollout(self._rollout)
        self._looked_at, self._looking = now, False
        for writing in self._desk.look(now):
            self._told(writing, now)
        progress = self._progress()
        if progress.state in ENDED:
            self._ended_at = self._ended_at if self._ended_at is not None else now
        elif not self._looking:
            self._looking = True
            self._push(self._next_look(progress, now), _LOOK, -1)

    def _next_look(self, progress: Progress, now: float) -> float:
        """A driver looks without news, too: a soak or a grace may have ended."""
        ends = [now + self._plan.look_seconds]
        if progress.soak_since is not None:
            ends.append(progress.soak_since + self._plan.soak_seconds)
        return max(min(ends), now + 1.0)

    def _progress(self) -> Progress:
        return self._desk.progress.get(NAME, Progress())

    def _sample(self, now: float) -> None:
        begun = now >= self._plan.begins
        self._samples.append(
            Sample(
                now,
                {stage: self._stages[stage] for stage in STAGES},
                sum(1 for device in self._devices if device.online),
                self._progress().wave + 1 if begun else 0,
                tuple(self._wave_new),
                min(
                    self._depot_bytes,
                    self._depot_bytes - max(0.0, self._depot_free - now) * self._plan.depot_rate,
                ),
            )
        )


def reached(samples: Sequence[Sample], devices: int, share: float) -> float | None:
    """Give the first moment of a sample at which so many devices ran the new version, in seconds; None for never."""
    return next((each.at for each in samples if each.stages["new"] >= share * devices), None)
