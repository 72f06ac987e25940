"""The device's records from one end to the other: outbox, journal, and the draining when there is a broker.

`back` opens it at the start; doors put records down, `control` lets them drain, reports and `status` say how full it
is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from edge_runtime.clock import Clock
from edge_runtime.drain import Draining, Proofs
from edge_runtime.drill import Drill
from edge_runtime.journal import NORMAL, Counts, Journal, open_outbox, outbox_report
from edge_runtime.line import Line
from edge_runtime.posting import Outbox
from edge_runtime.standing import OutboxStanding, outbox_standing
from edge_runtime.worker import Post
from toolkit.errors import TiersError
from toolkit.link.spoken import Signer
from toolkit.wire.device_config import BrokerConfig, DeviceConfig
from toolkit.wire.keyring import Keyring
from toolkit.wire.report import OutboxReport
from toolkit.wire.topics import Topics

log = logging.getLogger(__name__)


class Records:
    """One device's records."""

    def __init__(self, config: DeviceConfig, folder: Path, clock: Clock, drill: Drill) -> None:
        """Open the outbox; a device whose disk does not let it serves without one."""
        self._device, self._broker = config.device, config.broker
        self.outbox: Outbox | None = open_outbox(config, folder, clock, drill, time.monotonic)
        self.draining: Draining | None = None

    def journal(self, counts: Callable[[], Sequence[Counts]], starts: int) -> Journal:
        """Begin the daemon's own journal with this start of it."""
        journal = Journal(self.outbox, counts, time.monotonic)
        journal.note("start", NORMAL, {"starts": starts})
        return journal

    def drain(
        self, line: Line, post: Post, frame_bytes: int, *, topics: Topics, keyring: Callable[[], Keyring]
    ) -> Draining | None:
        """Let records go over this line whenever somebody takes them; None where there is no outbox.

        Args:
            line: to the broker.
            post: hands a call to the control thread.
            frame_bytes: largest payload that the broker takes.
            topics: of the site.
            keyring: gives whom this device trusts.
        """
        if self.outbox is not None:
            signer = _signer(self._broker)
            topic = topics.records(self._device)
            sign = None if signer is None else partial(signer.sign, topic=topic)
            self.draining = Draining(
                self._device,
                self.outbox,
                proofs=Proofs(topics.records_answer(self._device), keyring, sign),
                send=line.records,
                post=post,
                now=time.monotonic,
                frame_bytes=frame_bytes,
            )
        return self.draining

    def report(self) -> OutboxReport:
        """Say for a report what there was no room for."""
        if self.outbox is None:
            return OutboxReport()
        return outbox_report(self.outbox.fill(), self._refused)

    def standing(self) -> OutboxStanding | None:
        """Say for `status` how full the outbox is."""
        return outbox_standing(self.outbox.fill(), self._refused) if self.outbox is not None else None

    def close(self) -> None:
        """Commit what was put down; waits for the disk."""
        if self.outbox is not None:
            self.outbox.close()

    @property
    def _refused(self) -> int:
        return sum(self.outbox.refused.values()) if self.outbox is not None else 0


def _signer(broker: BrokerConfig) -> Signer | None:
    """Give what signs batches with the device's own key; None where it has none, as without TLS."""
    if not broker.certificate_file or not broker.key_file:
        return None
    try:
        return Signer(Path(broker.certificate_file), Path(broker.key_file))
    except TiersError as error:
        log.error("records are sent unsigned: %s; %s", error.message, error.hint)  # noqa: TRY400 -- explained
        return None
