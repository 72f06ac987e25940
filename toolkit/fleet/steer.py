"""Steer rollouts: read intents and reports, let `protocol.waves` decide, write what each device shall run.

    rollout.start -> Rollout (retained) -> Steering -> Desired (retained) -> device -> Report (retained) -> Steering

Everything is rebuilt from what stands retained, so a driver may die at any moment and another one goes on: the reports
and desired states say most of it, the rest (times, verdicts) is in a course beside each rollout. Only sealed documents
count. A desired state is written only where it differs from the one that stands, one at a time for a device,
with a number above every number known. One driver is active: each takes a term (`fence`) when it begins, devices
ignore lower terms, and a driver that sees a higher one stands by. It steps in when what should be written has not been
for TAKEOVER_SECONDS.

`handle` and `tick` never wait, so a depot runs them in its own loop on its own link; `run` is a process of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from queue import Empty
from threading import Event

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.fleet.course import course_of, progress_of, says_the_same, with_verdict
from toolkit.fleet.prometheus import Figures
from toolkit.fleet.reports import QUIET_SECONDS, Watch
from toolkit.fleet.wanted import changed, leading, reports_of, resume
from toolkit.link.link import Arrived, Link, LinkEvent
from toolkit.protocol.waves import ENDED, NO_FIGURES, Progress, step
from toolkit.wire.course import Course
from toolkit.wire.desired import Desired, DesiredModel
from toolkit.wire.document import encode_json
from toolkit.wire.keyring import Keyring
from toolkit.wire.rollout import Rollout
from toolkit.wire.signature import seal
from toolkit.wire.topics import Topics

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often a driver looks without news: soaks end by themselves."""
TAKEOVER_SECONDS = 60.0
"""How long a driver that stands by leaves to the active one."""
REPAIR_SECONDS = 30.0
"""How long it waits before it writes the same state again, when somebody else wrote over it."""
NOTE_SECONDS = 60.0
"""How often a driver writes down the times of a rollout; the next one counts at most so much of them again."""
WRITES_PER_TICK = 64
"""Most documents that one tick signs, so that a depot goes on serving meanwhile."""
EVENTS_PER_TICK = 1000
"""Most events that `run` takes before it acts: deciding costs a look at every device."""
_WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class _Written:
    """The last desired state that we wrote for a device."""

    desired: Desired
    at: float
    arrived: bool = False


class Steering:
    """A driver. For one thread."""

    def __init__(
        self,
        link: Link,
        topics: Topics,
        key: Ed25519PrivateKey,
        keyring: Keyring,
        *,
        name: str = "steer",
        clock: Callable[[], float] = time.time,
        quiet_seconds: float = QUIET_SECONDS,
        figures: Figures | None = None,
    ) -> None:
        """Prepare; nothing happens before `begin`.

        Args:
            link: to the site's broker.
            topics: of the site.
            key: the operator key that seals desired states; devices and `keyring` must trust it.
            keyring: whose rollouts and desired states count.
            name: of this client; no two at once on a site.
            clock: Unix time in seconds. Terms begin from it, so that a later driver has the higher one even after the
                broker lost what it retained.
            quiet_seconds: see `reports.Watch`.
            figures: asks a Prometheus; None leaves rollouts that go by one standing after their first wave.
        """
        self.watch = Watch(link, topics, keyring, name=name, quiet_seconds=quiet_seconds)
        self.term = 0
        """Number of this driver's term; 0 before it has one."""
        self.standing_by = False
        """Another driver has a higher term."""
        self.written = 0
        """Desired states that were written since the start."""
        self.looked_at: float | None = None
        """When it last looked at all rollouts, in seconds of the clock that `tick` is given."""
        self.progress: dict[str, Progress] = {}
        """Where each steered rollout stands, by its name."""
        self._figures = figures
        self._link = link
        self._topics = topics
        self._key = key
        self._clock = clock
        self._written: dict[str, _Written] = {}
        self._noted: dict[str, tuple[Course, float]] = {}
        self._news = True
        self._next_look = 0.0
        self._overdue_since: float | None = None

    def begin(self, *, connected: bool = False) -> None:
        """Subscribe. `connected`: the link is up already."""
        self.watch.begin(connected=connected)

    def handle(self, event: LinkEvent) -> bool:
        """Take an event of the link; True when it was for us. Others of the same link are passed over."""
        kind = self.watch.handle(event)
        self._news = self._news or kind is not None
        if kind == "desired" and isinstance(event, Arrived):
            self._note_desired(self._topics.device_of(event.topic))
        elif kind == "course":
            self._meet(max((each.fence for each in self.watch.retained.courses.values()), default=0))
        return kind is not None

    def tick(self, now: float) -> int:
        """Decide and write; call it often.

        Args:
            now: seconds of a clock that only grows.

        Returns:
            How many desired states were written.
        """
        if not self.watch.settled(now) or not (self._news or now >= self._next_look):
            return 0
        if not self.term:
            self._take_term()
        self._news, self._next_look, self.looked_at = False, now + LOOK_SECONDS, now
        due = self._due(now)
        if self.standing_by and not self._takes_over(bool(due), now):
            return 0
        self._write_courses(now)
        writable = [device for device in due if self._may_write(device, due[device], now)]
        for device in writable[:WRITES_PER_TICK]:
            self._write(device, due[device], now)
        self._news = self._news or len(writable) > WRITES_PER_TICK
        return min(len(writable), WRITES_PER_TICK)

    def run(
        self, stop: Event, *, address: str = "the broker", beat: Callable[[], None] | None = None
    ) -> None:
        """Steer until `stop` is set, on a link of our own, which is closed at the end.

        Args:
            stop: set by whoever wants it to end.
            address: how to name the broker in an error.
            beat: called again and again while it works; see `heartbeat`.

        Raises:
            UnreachableError: the broker cannot be reached at the start; later it is waited for.
        """
        self.begin()
        self._link.connect()
        try:
            self.watch.reach(address=address)
            while not stop.is_set():
                if beat is not None:
                    beat()
                self._take_events()
                self.tick(time.monotonic())
        finally:
            self.watch.close()

    def _take_events(self) -> None:
        """Wait a moment for an event, then take those that came with it; a busy fleet must not keep us from acting."""
        try:
            self.handle(self._link.events.get(timeout=_WAIT_SECONDS))
            for _ in range(EVENTS_PER_TICK):
                self.handle(self._link.events.get_nowait())
        except Empty:
            return

    def _due(self, now: float) -> dict[str, tuple[DesiredModel, ...]]:
        """Let every leading rollout take its step; give the devices whose desired state is not what it shall be."""
        retained = self.watch.retained
        wanted: dict[str, tuple[DesiredModel, ...]] = {}
        rollouts = leading(retained.rollouts.values()).values()
        self.progress = {
            each.name: self.progress[each.name] for each in rollouts if each.name in self.progress
        }
        self._ask_figures(rollouts)
        for rollout in rollouts:
            before = self._before(rollout, now)
            reports, figures = reports_of(rollout, retained.reports), self._figures_of(rollout)
            decided = step(rollout, reports, before, now, online=retained.online, figures=figures)
            if decided.progress.state is not before.state or decided.progress.wave != before.wave:
                log.info(
                    "rollout %s: %s, wave %d",
                    rollout.name,
                    decided.progress.state.value,
                    decided.progress.wave,
                )
            self.progress[rollout.name] = decided.progress
            for device in (*rollout.spec.devices, *rollout.spec.followers):
                models = wanted.get(device, self._models(device))
                wanted[device] = changed(models, rollout, decided, device)
        return {device: models for device, models in wanted.items() if self._differs(device, models)}

    def _ask_figures(self, rollouts: Collection[Rollout]) -> None:
        if self._figures is not None:
            self._figures.want([query for rollout in rollouts for query in rollout.spec.queries])
            return
        for rollout in rollouts:
            if rollout.spec.queries and rollout.name not in self.progress:
                log.warning(
                    "rollout %s goes by figures of Prometheus, which this driver does not ask, so it will stop after"
                    " its first wave; start a driver with: tiers rollout run --prometheus URL",
                    rollout.name,
                )

    def _figures_of(self, rollout: Rollout) -> Mapping[str, float]:
        return self._figures.of(rollout.spec.queries) if self._figures is not None else NO_FIGURES

    def _before(self, rollout: Rollout, now: float) -> Progress:
        """Give where a rollout stood: as we left it, or as the last driver wrote it down."""
        course = self.watch.retained.courses.get(rollout.name)
        held = self.progress.get(rollout.name)
        held = progress_of(rollout, course, now) if held is None else with_verdict(rollout, held, course)
        return resume(rollout, self.watch.retained.desired, held)

    def _write_courses(self, now: float) -> None:
        """Write down where rollouts stand: what has changed at once, times now and then.

        Before any desired state of the same tick, so that nobody is taken back for a reason that is nowhere written.
        """
        for name, progress in self.progress.items():
            rollout, known = self.watch.retained.rollouts[name], self.watch.retained.courses.get(name)
            last, at = self._noted.get(name, (known, now))
            seq = max(known.seq if known else 0, last.seq if last else 0) + 1
            figures = self._figures_of(rollout)
            course = course_of(rollout, progress, now, fence=self.term, seq=seq, figures=figures)
            lost = known != last and now - at >= REPAIR_SECONDS
            old = progress.state not in ENDED and now - at >= NOTE_SECONDS
            if last is not None and says_the_same(course, last) and not lost and not old:
                self._noted.setdefault(name, (last, now))
                continue
            self._noted[name] = (course, now)
            sealed = seal(encode_json(course), "course", self._key)
            self._link.publish(self._topics.course(name), sealed, qos=1, retain=True)

    def _models(self, device: str) -> tuple[DesiredModel, ...]:
        """Give what a device shall run at present; when somebody wrote nonsense over it, what we last wrote."""
        standing = self.watch.retained.desired.get(device)
        if standing is not None:
            return standing.models
        written = self._written.get(device)
        return written.desired.models if written else ()

    def _differs(self, device: str, models: tuple[DesiredModel, ...]) -> bool:
        standing = self.watch.retained.desired.get(device)
        if standing is None:
            return bool(models)
        # An old document that somebody put back is obeyed by no device that saw a newer one, and by every new device.
        return standing.models != models or standing.seq < self.watch.retained.highest_seq(device)

    def _may_write(self, device: str, models: tuple[DesiredModel, ...], now: float) -> bool:
        """Hold back while our last document is on its way, and from fighting with whoever writes over us."""
        written = self._written.get(device)
        if written is None:
            return True
        if not written.arrived:
            return False
        return written.desired.models != models or now - written.at >= REPAIR_SECONDS

    def _write(self, device: str, models: tuple[DesiredModel, ...], now: float) -> None:
        written = self._written.get(device)
        known = max(self.watch.retained.highest_seq(device), written.desired.seq if written else 0)
        desired = Desired(device=device, seq=known + 1, fence=self.term, models=models)
        self._written[device] = _Written(desired, now)
        self.written += 1
        sealed = seal(encode_json(desired), "desired", self._key)
        self._link.publish(self._topics.desired(device), sealed, qos=1, retain=True)
        log.info("desired state %d of %s: %s", desired.seq, device, _shown(models))

    def _note_desired(self, device: str) -> None:
        standing = self.watch.retained.desired.get(device)
        written = self._written.get(device)
        if standing is None:
            return
        if written is not None and standing == written.desired:
            self._written[device] = _Written(written.desired, written.at, arrived=True)
        self._meet(standing.fence)

    def _meet(self, fence: int) -> None:
        """Stand by for a driver of a higher term."""
        if self.term and fence > self.term and not self.standing_by:
            log.warning("driver of term %d stands by: term %d has begun", self.term, fence)
            self.standing_by, self._overdue_since = True, None

    def _take_term(self) -> None:
        self.term = max(self.watch.retained.highest_fence() + 1, self.term + 1, int(self._clock() * 1000))
        self.standing_by, self._overdue_since = False, None
        self._noted = {}
        log.info("steering in term %d", self.term)

    def _takes_over(self, overdue: bool, now: float) -> bool:  # noqa: FBT001  # a private answer, not an option
        if not overdue:
            self._overdue_since = None
            return False
        if self._overdue_since is None:
            self._overdue_since = now
        if now - self._overdue_since < TAKEOVER_SECONDS:
            return False
        log.warning("what should be written has not been for %.0f s: taking over", TAKEOVER_SECONDS)
        self._take_term()
        return True


def _shown(models: tuple[DesiredModel, ...]) -> str:
    return ", ".join(f"{entry.model} {entry.version}" for entry in models) or "nothing"
