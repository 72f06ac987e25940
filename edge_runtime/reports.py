"""Tell the fleet where this device stands: one retained report for each change, numbered across restarts.

`install` calls `changed` after it has saved an arrow; `control` calls `again` at each connection, because a broker may
have lost what it retained, and `progress` from time to time: what comes over the link is told at once, how the serving
versions do with the next report, or every `report_seconds` where there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from typing import Final, Protocol

from msgspec.structs import replace

from edge_runtime.permit import Wait
from edge_runtime.store import Store, Tally
from toolkit.errors import TiersError
from toolkit.protocol.installation import Installation
from toolkit.wire.document import encode_json
from toolkit.wire.fingerprint import Fingerprint
from toolkit.wire.manifest import Manifest
from toolkit.wire.report import ModelReport, OutboxReport, Report, Served
from toolkit.wire.states import InstallState

PROGRESS_SECONDS: Final = 2.0
"""At most this often a report tells of nothing but progress."""
MAX_REASON: Final = 300


class Progress(Protocol):
    """What is known of a fetch while it runs."""

    @property
    def artifact(self) -> str:
        """What is fetched: what is being installed, or a patch to it."""

    @property
    def tally(self) -> Tally:
        """What has come so far."""

    @property
    def have(self) -> int:
        """Number of chunks that are durable."""


@dataclass(frozen=True)
class Sources:
    """Where reports take what they say from."""

    manifest: Callable[[str], Manifest]
    """Gives the manifest of an artifact that was accepted."""
    served: Callable[[str, str], Served]
    """Says how a version of a model has done since it serves."""
    wait: Callable[[str], Wait | None]
    """Says what the installation of a model waits for."""
    patch_problem: Callable[[str], str]
    """Says why a patch to an artifact did not help."""
    plan_problem: Callable[[str], str]
    """Says why a plan that was announced for an artifact is not used."""
    doubts_clock: Callable[[], bool]
    """Tells whether something waits because the time of day is in doubt."""
    outbox: Callable[[], OutboxReport] = OutboxReport
    """Says what the outbox had no room for."""
    told: Callable[[Sequence[ModelReport]], None] = lambda _: None
    """Hears what every report says of the models."""


class Reports:
    """Makes and sends the reports of a device. For the control thread."""

    def __init__(
        self,
        *,
        device: str,
        store: Store,
        starts: int,
        fingerprint: Fingerprint,
        sources: Sources,
        report_seconds: float,
        send: Callable[[bytes], None],
    ) -> None:
        """Prepare.

        Args:
            device: its name.
            store: numbers the reports.
            starts: how often the daemon has started.
            fingerprint: what the machine is.
            sources: say what the rest of the daemon knows.
            report_seconds: time between two reports when nothing but that changes.
            send: publishes a report.
        """
        self._device = device
        self._store = store
        self._starts = starts
        self._fingerprint = fingerprint
        self._from = sources
        self.report_seconds = report_seconds
        self._send = send
        self._last: tuple[ModelReport, ...] = ()
        self._looked_at = 0.0
        self._looked_at_served = 0.0
        self._told_desired = -1

    def changed(self, seq: int, held: Mapping[str, Installation], fetching: Mapping[str, Progress]) -> None:
        """Send the report `seq`, which tells of an arrow that has just been saved."""
        self._last = tuple(self._describe(each, fetching.get(each.model)) for each in held.values())
        self._publish(seq)

    def obeyed(self, held: Mapping[str, Installation], fetching: Mapping[str, Progress]) -> None:
        """Send a report if none has told of the present desired document yet, because it changed nothing here."""
        if self._store.count("desired_seq") != self._told_desired:
            self.changed(self._store.next("report_seq"), held, fetching)

    def again(self) -> None:
        """Send the last report once more."""
        self._publish(self._store.count("report_seq"))

    def progress(
        self, now: float, held: Mapping[str, Installation], fetching: Mapping[str, Progress]
    ) -> None:
        """Send a report if something has changed since the last one, and that is not too recent.

        What the versions that serve have done changes with every request, so it is a reason for a report more rarely.
        """
        if now - self._looked_at < PROGRESS_SECONDS:
            return
        self._looked_at = now
        models = tuple(self._describe(each, fetching.get(each.model)) for each in held.values())
        due = now - self._looked_at_served >= self.report_seconds
        if due:
            self._looked_at_served = now
        if models != self._last and (due or _without_served(models) != _without_served(self._last)):
            self._last = models
            self._publish(self._store.next("report_seq"))

    def _publish(self, seq: int) -> None:
        self._told_desired = self._store.count("desired_seq")
        report = Report(
            device=self._device,
            seq=seq,
            desired_seq=self._told_desired,
            starts=self._starts,
            models=self._last,
            fingerprint=self._fingerprint,
            untrusted_clock=self._from.doubts_clock(),
            outbox=self._from.outbox(),
        )
        self._from.told(self._last)
        self._send(encode_json(report))

    def _describe(self, held: Installation, progress: Progress | None) -> ModelReport:
        artifact = held.offer.artifact if held.offer else ""
        own = progress if progress is not None and progress.artifact == artifact else None
        tally = own.tally if own is not None else self._store.tally(artifact)
        if progress is not None and own is None:
            came = progress.tally  # of a patch; it counts for what it makes
            tally = changed(tally, received=tally.received + came.received, resent=tally.resent + came.resent)
        chunks = self._chunks(artifact)
        if own is not None:
            have = own.have
        elif self._is_whole(held):
            have = chunks
        else:
            have = self._store.bitmap(artifact, chunks).count
        serving_version = self._serving_version(held)
        wait = self._from.wait(held.model)
        return ModelReport(
            model=held.model,
            state=held.state,
            version=held.offer.version if held.offer else "",
            artifact=artifact,
            rollout=held.offer.rollout if held.offer else "",
            serving_version=serving_version,
            code=wait.code if wait else held.code,
            reason=(wait.reason if wait else held.reason)[:MAX_REASON],
            chunks_total=chunks,
            chunks_have=have,
            chunks_seeded=tally.seeded,
            bytes_received=tally.received,
            bytes_resent=tally.resent,
            chunks_bad=tally.bad,
            chunks_patched=tally.patched,
            patch_problem=self._from.patch_problem(artifact),
            plan_problem=self._from.plan_problem(artifact),
            served=self._from.served(held.model, serving_version) if serving_version else Served(),
        )

    def _chunks(self, artifact: str) -> int:
        try:
            return self._from.manifest(artifact).chunks
        except TiersError:
            return 0  # not accepted yet

    @staticmethod
    def _is_whole(held: Installation) -> bool:
        whole = {InstallState.STAGED, InstallState.ACTIVATING, InstallState.PROBATION, InstallState.ACTIVE}
        return held.state in whole

    def _serving_version(self, held: Installation) -> str:
        if not held.serving:
            return ""
        for each in held.good:
            if each.artifact == held.serving:
                return each.version
        try:
            return self._from.manifest(held.serving).version
        except TiersError:
            return ""


def _without_served(models: tuple[ModelReport, ...]) -> tuple[ModelReport, ...]:
    return tuple(replace(each, served=Served()) for each in models)
