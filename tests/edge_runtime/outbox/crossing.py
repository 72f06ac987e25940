"""An outbox, a receiver and a network between them in one thread, with a clock of its own and faults from a seed.

What travels can be lost, doubled and put out of order; either side can be killed between any two steps, and then knows
what was durable and nothing else.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Queue

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_runtime.drain import Draining, Proofs
from edge_runtime.outbox import Entry, Fill, OutboxFile
from toolkit.errors import TiersError
from toolkit.fleet.record_files import read_lines, segments
from toolkit.fleet.records import Receiver, RecordLimits
from toolkit.link.link import Arrived, LinkEvent
from toolkit.link.spoken import Signer, Speakers
from toolkit.wire.keyring import Keyring
from toolkit.wire.records import Marks, Record
from toolkit.wire.topics import Topics

TOPICS = Topics("north")
DEVICE = "us-001"


class OneThread:
    """An `Outbox` without its thread: each call is done when it comes back."""

    def __init__(self, file: OutboxFile) -> None:
        self.file = file
        self.on_stored: Callable[[], None] = lambda: None

    epoch = property(lambda self: self.file.epoch)
    last_seq = property(lambda self: self.file.last_seq)
    dropped = property(lambda self: self.file.dropped_marks)

    def put_all(self, entries: list[Entry]) -> int:
        first = self.file.append(entries)
        self.on_stored()
        return first

    def read(self, priority: int, after: int, max_bytes: int) -> Future[list[Record]]:
        return _done(lambda: self.file.read(priority, after, max_bytes))

    def forget(self, stored: Marks) -> None:
        self.file.forget(stored)

    def begin_epoch(self) -> Future[None]:
        return _done(self.file.begin_epoch)

    def fill(self) -> Fill:
        return self.file.fill()


def _done(work: Callable[[], object]) -> Future:
    future: Future = Future()
    try:
        future.set_result(work())
    except TiersError as error:
        future.set_exception(error)
    return future


class Wire:
    """The receiver's link: what it publishes goes into the network."""

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self.events: Queue[LinkEvent] = Queue()

    def publish(self, _topic: str, payload: bytes, **_options: object) -> None:
        self._crossing.back.append(payload)

    def subscribe(self, _topic: str, *, qos: int = 0) -> None: ...
    def connect(self) -> None: ...
    def close(self) -> None: ...


@dataclass
class Believes:
    """What the two ends prove, and ask for as proof: nothing unless it is said."""

    key: Ed25519PrivateKey | None = None
    """Seals the receiver's answers."""
    keyring: Keyring = field(default_factory=Keyring)
    """Of the device."""
    signer: Signer | None = None
    """Signs the device's batches."""
    speakers: Speakers | None = None
    """Whom the receiver takes batches from."""


class Crossing:
    """Both ends and what is between them."""

    def __init__(
        self,
        folder: Path,
        seed: int = 0,
        *,
        budget: int = 8 * 1024 * 1024,
        frame_bytes: int = 20_000,
        limits: RecordLimits | None = None,
        believes: Believes | None = None,
    ) -> None:
        believes = believes or Believes()
        self.key, self.keyring, self.speakers = believes.key, believes.keyring, believes.speakers
        signer = believes.signer
        self.sign = None if signer is None else partial(signer.sign, topic=TOPICS.records(DEVICE))
        self.folder, self.budget, self.frame_bytes, self.limits = folder, budget, frame_bytes, limits
        self.source = random.Random(seed)
        self.clock = 0.0
        self.there: list[bytes] = []
        self.back: list[bytes] = []
        self.posted: list[Callable[[], None]] = []
        self.at = folder / "cloud"
        self.at.mkdir()
        (folder / "device").mkdir()
        self.file = folder / "device" / "outbox.sqlite"
        self.start_device()
        self.start_receiver()

    # ---- the ends
    def start_device(self) -> None:
        self.outbox = OneThread(OutboxFile(self.file, self.budget))
        self.draining = Draining(
            DEVICE,
            self.outbox,  # type: ignore[arg-type]
            proofs=Proofs(TOPICS.records_answer(DEVICE), lambda: self.keyring, self.sign),
            send=self.there.append,
            post=self.posted.append,
            now=lambda: self.clock,
            frame_bytes=self.frame_bytes,
        )

    def kill_device(self) -> None:
        """What was durable is what a copy of the files at this moment has."""
        copy = self.folder / "killed"
        shutil.copytree(self.file.parent, copy)
        self.outbox.file.close()
        self.posted.clear()
        shutil.rmtree(self.file.parent)
        copy.rename(self.file.parent)
        self.start_device()
        self.draining.connected()

    def start_receiver(self) -> None:
        self.receiver = Receiver(
            Wire(self),  # type: ignore[arg-type]
            TOPICS,
            self.at,
            key=self.key,
            speakers=self.speakers,
            limits=self.limits,
            now=lambda: self.clock,
        )

    def kill_receiver(self) -> None:
        for device in self.receiver._devices.values():
            device.files._descriptor, descriptor = -1, device.files._descriptor
            _close(descriptor)
        _close(self.receiver._lock)
        self.start_receiver()

    # ---- time and the network
    def step(self, *, faults: float = 0.0) -> None:
        """Let a second pass: both directions carry what they have, or not."""
        self.clock += 1.0
        self.draining.tick()
        self._do_posted()
        for messages, deliver in ((self.there, self._to_receiver), (self.back, self.draining.arrived)):
            carried = list(messages)
            messages.clear()
            if faults:
                carried = [each for each in carried if self.source.random() > faults]
                carried += [each for each in carried if self.source.random() < faults]
                if self.source.random() < faults:
                    self.source.shuffle(carried)
                late = [each for each in carried if self.source.random() < faults / 2]
                messages.extend(late)
            for payload in carried:
                deliver(payload)
                self._do_posted()

    def drain(self, seconds: int = 10_000) -> None:
        """Go on until the outbox is empty."""
        for _ in range(seconds):
            if not any(self.outbox.file.fill().records):
                return
            self.step()
        raise AssertionError(f"it does not end: {self.outbox.fill()}, {self.receiver.counters}")

    def stored(self) -> list[tuple[str, int, int, bytes]]:
        """Epoch, priority, seq and payload of each record that the receiver has, as they came."""
        return [
            (line.epoch, line.priority, line.seq, line.payload)
            for path in segments(self.at / DEVICE)
            for line, _ in read_lines(path)
        ]

    def _to_receiver(self, payload: bytes) -> None:
        self.receiver.take([Arrived(TOPICS.records(DEVICE), payload)])

    def _do_posted(self) -> None:
        while self.posted:
            self.posted.pop(0)()


def _close(descriptor: int) -> None:
    import os

    os.close(descriptor)
