"""What the daemon itself puts down: its starts, each step of an installation, how serving went each minute, alarms.

    reports (each is looked at as it leaves), the models' counts -> Journal -> outbox

Events are NORMAL, what went wrong is an alarm and EMERGENCY, counts are BATCH: the order in which they leave, and the
other way round the order in which they are dropped. No pixels and no names of people stand in any of them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from edge_runtime.clock import Clock
from edge_runtime.drill import Drill
from edge_runtime.outbox import Fill, OutboxFile
from edge_runtime.posting import Outbox, Stamp
from edge_runtime.sealing import read_seal
from toolkit.errors import StoreError, TiersError
from toolkit.wire.device_config import DeviceConfig
from toolkit.wire.report import Dropped, ModelReport, OutboxReport
from toolkit.wire.states import InstallState

log = logging.getLogger(__name__)
SERVING_SECONDS: Final = 60.0
EMERGENCY, NORMAL, BATCH = 1, 2, 3
OWN_KINDS: Final = {"alarm": EMERGENCY, "installation": NORMAL, "start": NORMAL, "serving": BATCH}
"""What the daemon itself puts down, and its priority."""
_BAD: Final = {InstallState.FAILED, InstallState.ROLLED_BACK, InstallState.REJECTED}
_CLOCK_SECONDS: Final = 5.0


class Counts(Protocol):
    """What a model version has done, as `serving.stats` has it."""

    @property
    def model(self) -> str:
        """Its name."""
        ...

    @property
    def version(self) -> str:
        """Its version."""
        ...

    @property
    def outcomes(self) -> Mapping[str, int]:
        """Outcome -> requests."""
        ...


def open_outbox(
    config: DeviceConfig, file: Path, clock: Clock, drill: Drill, now: Callable[[], float]
) -> Outbox | None:
    """Open the device's outbox; None, and a line in the log, where the disk does not allow it: serving goes on.

    Raises:
        UsageError: its key cannot be read.
    """
    seal = read_seal(config.outbox.key_file)
    try:
        opened = OutboxFile(file, config.outbox.max_bytes, seal=seal, drill=drill)
        return Outbox(opened, Stamps(clock, now))
    except StoreError as error:
        log.error("no record is kept: %s; %s", error.message, error.hint)  # noqa: TRY400 -- explained, not a fault
        return None


class Stamps:
    """Says when something is put down. The kernel is not asked each time whether the clock is right."""

    def __init__(self, clock: Clock, now: Callable[[], float]) -> None:
        """Go by this clock, and by `now` in seconds since the machine started."""
        self._clock, self._now = clock, now
        self._trusted, self._asked_at = False, -_CLOCK_SECONDS

    def __call__(self) -> Stamp:
        """Give the moment."""
        up = self._now()
        if up - self._asked_at >= _CLOCK_SECONDS:
            self._trusted, self._asked_at = not self._clock.read().doubt, up
        return Stamp(int(self._clock.now() * 1000), int(up * 1000), self._trusted)


def outbox_report(fill: Fill, refused: int) -> OutboxReport:
    """Say in a report what was dropped or refused; nothing as long as nothing was."""
    if not fill.dropped and not refused:
        return OutboxReport()
    return OutboxReport(
        waiting=fill.records,
        used_bytes=fill.used_bytes,
        cap_bytes=fill.cap_bytes,
        oldest_ms=fill.oldest_ms,
        dropped=tuple(
            Dropped(kind=kind, priority=priority, records=count, bytes=size)
            for (kind, priority), (count, size) in sorted(fill.dropped.items())
        ),
        refused=refused,
    )


class Journal:
    """Puts down what happens. For the control thread; without an outbox it does nothing."""

    def __init__(
        self, outbox: Outbox | None, counts: Callable[[], Sequence[Counts]], now: Callable[[], float]
    ) -> None:
        """Prepare; `counts` gives the models' counts, `now` seconds."""
        self._outbox, self._counts, self._now = outbox, counts, now
        self._states: dict[str, tuple[object, ...]] = {}
        self._seen: dict[tuple[str, str], Counter[str]] = {}
        self._serving_at = now() + SERVING_SECONDS

    def note(self, kind: str, priority: int, document: Mapping[str, object]) -> None:
        """Put something down; what cannot be is said in the log and counted by the outbox."""
        if self._outbox is None:
            return
        try:
            self._outbox.put(kind, priority, msgspec.json.encode(document), urgent=priority == EMERGENCY)
        except TiersError as error:
            log.warning("%s was not put down: %s", kind, error.message)

    def reported(self, models: Sequence[ModelReport]) -> None:
        """Look at what a report says of the models, and put down what is new."""
        for model in models:
            state = (model.state, model.version, model.rollout, model.serving_version, model.code)
            if self._states.get(model.model) == state:
                continue
            self._states[model.model] = state
            event = {
                "model": model.model,
                "state": model.state,
                "version": model.version,
                "rollout": model.rollout,
                "serving": model.serving_version,
                "code": model.code,
                "reason": model.reason,
            }
            self.note("installation", NORMAL, event)
            if model.state in _BAD:
                self.note("alarm", EMERGENCY, event)

    def look(self) -> None:
        """Put down how serving went, if a minute is over. A version that answered nothing says nothing."""
        now = self._now()
        if now < self._serving_at:
            return
        self._serving_at = now + SERVING_SECONDS
        for stats in self._counts():
            counted = Counter(dict(stats.outcomes))
            key = (stats.model, stats.version)
            fresh = counted - self._seen.get(key, Counter())
            self._seen[key] = counted
            if fresh:
                document = {"model": stats.model, "version": stats.version, "seconds": SERVING_SECONDS}
                self.note("serving", BATCH, {**document, "outcomes": fresh})
