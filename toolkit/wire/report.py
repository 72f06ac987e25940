"""What a device says of itself: one retained report, and its presence. The fleet is rebuilt from these alone.

`edge_runtime.daemon` writes a report at each arrow of the install table; `fleet.rollout` and `fleet.status` read them.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from toolkit.errors import IntegrityError
from toolkit.wire.document import Document, Sparse, decode_json
from toolkit.wire.fingerprint import Fingerprint
from toolkit.wire.states import InstallState


class Served(Sparse, frozen=True, kw_only=True):
    """How the version that serves has done since it serves in this process."""

    requests: int = 0
    """That were answered or failed; those that clients gave up, or that were refused as too many, do not count."""
    failures: int = 0
    """Of these, those that the model failed."""
    p99_seconds: float = 0.0
    """Time within which 99 of 100 of the last requests were answered; 0 when there were none."""


class ModelReport(Sparse, frozen=True, kw_only=True):
    """Where a device stands with one model. Byte counts are of the current or last installation."""

    model: str
    state: InstallState
    version: str = ""
    """The version that `state` speaks of."""
    artifact: str = ""
    rollout: str = ""
    serving_version: str = ""
    """The version that answers requests now; empty when none does."""
    code: str = ""
    """Why it was refused or failed, as a stable word, for example golden-mismatch."""
    reason: str = ""
    """The same for people, one line."""
    chunks_total: int = 0
    chunks_have: int = 0
    chunks_seeded: int = 0
    """Chunks that came from what the device already had."""
    bytes_received: int = 0
    """Stored bytes of chunks that came over the link, index included."""
    bytes_resent: int = 0
    """Of these, bytes of chunks that the device already held (a duplicate, or asked again)."""
    chunks_bad: int = 0
    """Chunks that came damaged and were asked for again."""
    served: Served = Served()
    chunks_patched: int = 0
    """Chunks that a patch made out of a version that the device had; the patch's own bytes are in `bytes_received`."""
    patch_problem: str = ""
    """Why a patch that was tried did not help; the chunks came all the same."""
    plan_problem: str = ""
    """Since 4. Why a plan that was announced for this machine is not used; it builds its own."""


class Dropped(Sparse, frozen=True, kw_only=True):
    """Records of one kind and priority that a device had no room for, since its outbox began."""

    kind: str
    priority: int
    records: int
    bytes: int
    """Of their payloads."""


class OutboxReport(Sparse, frozen=True, kw_only=True):
    """How full a device's outbox is, see `toolkit.wire.records`."""

    waiting: tuple[int, int, int] = (0, 0, 0)
    """Records of each priority that are not known to be stored elsewhere."""
    used_bytes: int = 0
    cap_bytes: int = 0
    """Above which records are dropped, lowest priority and oldest first."""
    oldest_ms: int = 0
    """When the oldest that waits was put down, by the device's clock; 0 when none waits."""
    dropped: tuple[Dropped, ...] = ()
    refused: int = 0
    """Records that were not accepted since the daemon started: the disk did not take them."""


class Report(Document, frozen=True, kw_only=True, omit_defaults=True):
    """A device's report."""

    FORMAT: ClassVar[int] = 4
    READS: ClassVar[tuple[int, ...]] = (1, 2, 3, 4)
    device: str
    seq: int
    """Grows with each report of a device, across restarts."""
    desired_seq: int = 0
    """The desired document that it acts on."""
    starts: int = 0
    """How often the daemon has started."""
    models: tuple[ModelReport, ...] = ()
    fingerprint: Fingerprint = Fingerprint()
    untrusted_clock: bool = False
    """The device does not know what time it is, so what waits for a time of day waits."""
    outbox: OutboxReport = OutboxReport()
    """Since 3. Left out while nothing was dropped or refused: what merely waits is no news for the fleet."""

    def needed_format(self) -> int:
        """Give the lowest number that can say it all."""
        if any(each.plan_problem for each in self.models):
            return 4
        if self.outbox != OutboxReport():
            return 3
        newer = (each.served != Served() or each.chunks_patched or each.patch_problem for each in self.models)
        return 2 if self.untrusted_clock or any(newer) else 1


class Presence(Document, frozen=True, kw_only=True):
    """Whether a device is connected."""

    FORMAT: ClassVar[int] = 1
    device: str
    state: Literal["online", "offline"]


def decode_report(data: bytes, device: str) -> Report:
    """Read a report that came on the topic of `device`.

    Raises:
        IntegrityError: it is damaged, or speaks for another device.
    """
    report = decode_json(data, Report, what=f"report of {device}")
    if report.device != device:
        raise IntegrityError(f"a report on the topic of {device} speaks for {report.device[:70]!r}")
    return report
