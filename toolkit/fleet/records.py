"""The receiver of what devices put down: batches in, durable lines out, then the answer that lets a device forget.

    RecordBatch on d/DEVICE/rec -> checked, what is known left out -> record_files, flushed -> RecordsAnswer on d/D…/ack

The other end is `edge_runtime.drain`. All batches that wait are written before one flush and then answered, so a fleet
shares the cost of the disk. A device is held to a rate and to a share of the disk; what it may not send now, it keeps.
A receiver that is killed finds its marks in its files, and what comes again is known by its seq.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.errors import IntegrityError, SignatureError, TiersError
from toolkit.fleet.receive import batches
from toolkit.fleet.record_files import DeviceFiles, lock, open_device
from toolkit.link.link import Arrived, Link
from toolkit.link.spoken import Speakers, read_spoken
from toolkit.protocol.buckets import Bucket, Rate
from toolkit.wire.answer_seal import seal_answer
from toolkit.wire.records import (
    MAX_BATCH_BYTES,
    Code,
    Marks,
    RecordBatch,
    RecordsAnswer,
    decode_batch,
    encode_records_answer,
)
from toolkit.wire.topics import Topics

log = logging.getLogger(__name__)
OPEN_DEVICES: Final = 128
"""Devices whose files stay open."""
MAX_DEVICES: Final = 10_000
TOGETHER: Final = 64
"""Batches that share a flush at most."""
BUSY_MS: Final = 5_000
FULL_MS: Final = 60_000


@dataclass(frozen=True)
class RecordLimits:
    """What one device may bring."""

    rate: Rate = field(default_factory=lambda: Rate(4 * 1024 * 1024, 8 * 1024 * 1024))
    """Bytes a second, as they travel."""
    device_bytes: int = 0
    """Of its files that are there; 0 is no limit."""


@dataclass
class RecordCounters:
    """What a receiver has done since it started."""

    batches: int = 0
    records: int = 0
    """That were stored."""
    known: int = 0
    """That came again."""
    flushes: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Code of the answer, or unreadable, or unsigned -> how often."""


@dataclass
class _Device:
    files: DeviceFiles
    touched: bool = False


@dataclass(frozen=True)
class _Reply:
    batch: RecordBatch
    code: Code
    message: str = ""
    retry_ms: int = 0


class Receiver:
    """Stores what devices put down; `run` it in a thread of its own."""

    def __init__(
        self,
        link: Link,
        topics: Topics,
        at: Path,
        *,
        key: Ed25519PrivateKey | None = None,
        speakers: Speakers | None = None,
        limits: RecordLimits | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the folder.

        Args:
            link: to the site's broker, not connected yet; the receiver closes it.
            topics: of the site.
            at: folder of the records; it must be there, so that an empty mount point is not filled.
            key: seals answers; None leaves them unsealed, for devices whose keyring names no receiver.
            speakers: says which device has signed a batch; None takes whatever comes on a device's topic.
            limits: what a device may bring.
            now: seconds, for rates.

        Raises:
            SyncError: the folder is not there, or another receiver has it.
        """
        self._lock = lock(at)
        self._link, self._topics, self._at = link, topics, at
        self._key, self._speakers = key, speakers
        self._limits = limits or RecordLimits()
        self._now = now
        self._devices: OrderedDict[str, _Device] = OrderedDict()
        self._buckets: dict[str, Bucket] = {}
        self._dropped: dict[str, tuple[str, Marks]] = {}
        self.counters = RecordCounters()

    def run(
        self,
        stop: threading.Event,
        *,
        ready: Callable[[], None] | None = None,
        beat: Callable[[], None] | None = None,
    ) -> None:
        """Take batches until `stop` is set; `ready` is called when it is connected, `beat` again and again.

        A broker that is away is waited for; the log says so.
        """
        try:
            self._link.subscribe(self._topics.records("+"))
            self._link.connect()
            for arrived in batches(self._link, stop, most=TOGETHER, ready=ready, beat=beat):
                self.take(arrived)
        finally:
            for device in self._devices.values():
                device.files.close()
            self._devices.clear()
            self._link.close()
            os.close(self._lock)

    def take(self, arrived: list[Arrived]) -> None:
        """Store what these messages bring, flush once, then answer."""
        replies = [reply for event in arrived if (reply := self._taken(event)) is not None]
        failed = self._flush()
        for reply in replies:
            device = reply.batch.device
            if device in failed:
                self._answer(_Reply(reply.batch, "busy", "the receiver's disk failed", BUSY_MS))
            else:
                self._answer(reply)
        while len(self._devices) > OPEN_DEVICES:
            _, oldest = self._devices.popitem(last=False)
            oldest.files.close()

    # ------------------------------------------------------------ inside
    def _taken(self, event: Arrived) -> _Reply | None:
        try:
            device = self._topics.device_of(event.topic)
            batch = decode_batch(self._said(event, device), device)
        except SignatureError as error:
            self.counters.refused["unsigned"] += 1
            log.warning("records do not count: %s; %s", error.message, error.hint)
            return None
        except IntegrityError as error:
            self.counters.refused["unreadable"] += 1
            log.warning("records do not count: %s", error.message)
            return None
        self.counters.batches += 1
        now = self._now()
        if device not in self._buckets and len(self._buckets) >= MAX_DEVICES:
            return _Reply(batch, "full", "the receiver has too many devices", FULL_MS)
        bucket = self._buckets.get(device) or Bucket.full(self._limits.rate, now)
        if wait := bucket.wait(now):
            return _Reply(batch, "busy", "faster than one device may", max(int(wait * 1000), 100))
        self._buckets[device] = bucket.charged(len(event.payload), now)
        try:
            return self._stored(batch)
        except (OSError, TiersError) as error:
            log.error("records of %s cannot be stored: %s", device, error)  # noqa: TRY400 -- explained
            self._close(device)
            return _Reply(batch, "busy", "the receiver's disk failed", BUSY_MS)

    def _said(self, event: Arrived, device: str) -> bytes:
        if self._speakers is not None:
            return self._speakers.open(event.payload, event.topic, device, limit=MAX_BATCH_BYTES)
        spoken = read_spoken(event.payload, limit=MAX_BATCH_BYTES)
        return event.payload if spoken is None else spoken.payload

    def _stored(self, batch: RecordBatch) -> _Reply:
        device = self._open(batch.device)
        self._look_at_dropped(batch)
        if batch.after > device.files.mark(batch.epoch)[batch.priority - 1]:
            return _Reply(batch, "gap")
        if batch.records and self._is_full(device):
            return _Reply(batch, "full", "its part of the receiver's disk is full", FULL_MS)
        fresh = device.files.append(batch.epoch, batch.priority, batch.records)
        device.touched = device.touched or bool(fresh)
        self.counters.records += fresh
        self.counters.known += len(batch.records) - fresh
        return _Reply(batch, "")

    def _is_full(self, device: _Device) -> bool:
        limit = self._limits.device_bytes
        if not limit or device.files.stored_bytes < limit:
            return False
        device.files.count_again()
        return device.files.stored_bytes >= limit

    def _look_at_dropped(self, batch: RecordBatch) -> None:
        seen = (batch.epoch, batch.dropped)
        if any(batch.dropped) and self._dropped.get(batch.device) != seen:
            log.warning(
                "%s has dropped records for want of room: %s by priority", batch.device, batch.dropped
            )
        self._dropped[batch.device] = seen

    def _open(self, name: str) -> _Device:
        device = self._devices.get(name)
        if device is None:
            device = self._devices[name] = _Device(open_device(self._at, name))
        self._devices.move_to_end(name)
        return device

    def _flush(self) -> set[str]:
        failed: set[str] = set()
        for name, device in list(self._devices.items()):
            if not device.touched:
                continue
            device.touched = False
            try:
                device.files.sync()
                self.counters.flushes += 1
            except OSError as error:
                log.error("records of %s cannot be stored: %s", name, error)  # noqa: TRY400 -- explained
                self._close(name)
                failed.add(name)
        return failed

    def _close(self, name: str) -> None:
        device = self._devices.pop(name, None)
        if device is not None:
            device.files.close(failed=True)

    def _answer(self, reply: _Reply) -> None:
        batch = reply.batch
        device = self._devices.get(batch.device)
        stored = device.files.mark(batch.epoch) if device is not None else (0, 0, 0)
        if reply.code:
            self.counters.refused[reply.code] += 1
        answer = RecordsAnswer(
            epoch=batch.epoch,
            round=batch.round,
            stored=stored,
            code=reply.code,
            retry_ms=reply.retry_ms,
            message=reply.message,
        )
        topic, data = self._topics.records_answer(batch.device), encode_records_answer(answer)
        if self._key is not None:
            data = seal_answer(data, topic, "", self._key)
        self._link.publish(topic, data)
