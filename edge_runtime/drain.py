"""Carry out what `toolkit.protocol.drain` decides: read from the outbox, publish batches, delete what is stored.

    outbox -> read -> RecordBatch on d/DEVICE/rec ... RecordsAnswer on d/DEVICE/ack -> forget

For the control thread: the outbox' own thread does what touches the disk and posts what comes of it back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Final

from edge_runtime.posting import Outbox
from edge_runtime.worker import Post
from toolkit.errors import IntegrityError, SignatureError
from toolkit.link.spoken import SPOKEN_BYTES
from toolkit.protocol.drain import Action, Ask, BeginEpoch, Delete, Drain, Read
from toolkit.wire.answer_seal import receive_answer
from toolkit.wire.keyring import Keyring
from toolkit.wire.records import (
    BATCH_OVERHEAD,
    MAX_ANSWER_BYTES,
    PRIORITIES,
    Marks,
    Record,
    RecordBatch,
    decode_records_answer,
    encode_batch,
)

log = logging.getLogger(__name__)
MAX_BATCH_BYTES: Final = 256 * 1024
"""Of one batch, where the broker takes as much."""


@dataclass(frozen=True)
class Proofs:
    """Whom this device believes that a record is stored, and how it is believed itself."""

    topic: str
    """On which answers come."""
    keyring: Callable[[], Keyring]
    """Gives whom the device trusts; as soon as that names a receiver, only its answers count."""
    sign: Callable[[bytes], bytes] | None = None
    """Signs a batch as this device's, where it has a key for that; used as soon as a receiver is named."""


class Draining:
    """Empties one outbox over one line."""

    def __init__(
        self,
        device: str,
        outbox: Outbox,
        *,
        proofs: Proofs,
        send: Callable[[bytes], None],
        post: Post,
        now: Callable[[], float],
        frame_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        """Prepare.

        Args:
            device: its name.
            outbox: what to empty.
            proofs: of who says what.
            send: publishes a batch; it may be lost.
            post: hands a call to the thread that calls everything here.
            now: seconds.
            frame_bytes: largest payload that the broker takes.
        """
        self._device, self._outbox = device, outbox
        self._proofs = proofs
        self._distrust = ""
        self._send, self._post, self._now = send, post, now
        self._room = (
            min(frame_bytes, MAX_BATCH_BYTES) - BATCH_OVERHEAD - SPOKEN_BYTES * (proofs.sign is not None)
        )
        self._drain = Drain()
        self._problem = ""
        outbox.on_stored = partial(post, self._filled)

    @property
    def problem(self) -> str:
        """Why the receiver does not take records; empty when it does, or when none has answered."""
        return self._distrust or self._drain.problem

    @property
    def reached(self) -> bool:
        """Whether a receiver has answered since the broker was last reached."""
        return self._drain.known

    def connected(self) -> None:
        """Begin, for the broker is reached."""
        self._do(self._drain.began(self._now()))

    def disconnected(self) -> None:
        """Stop, for the broker is lost."""
        self._drain.ended()

    def tick(self) -> None:
        """Look at the time; often enough is once a second."""
        self._do(self._drain.tick(self._now()))

    def arrived(self, payload: bytes) -> None:
        """Take an answer of a receiver; one that is damaged, or not sealed as it must be, does not count."""
        try:
            received = receive_answer(payload, limit=MAX_ANSWER_BYTES)
            received.check(self._proofs.topic, "", self._proofs.keyring())
            answer = decode_records_answer(received.payload)
        except SignatureError as error:
            if not self._distrust:
                log.warning("records stay here for now: %s; %s", error.message, error.hint)
            self._distrust = error.message
            return
        except IntegrityError as error:
            log.warning("an answer does not count: %s", error.message)
            return
        self._distrust = ""
        if answer.epoch != self._outbox.epoch:
            return
        self._do(self._drain.answered(answer, self._outbox.last_seq, self._now()))
        if self._drain.problem != self._problem:
            self._problem = self._drain.problem
            if self._problem:
                log.warning("records stay here for now: %s", self._problem)

    # ------------------------------------------------------------ inside
    def _filled(self) -> None:
        self._do(self._drain.filled())

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Ask):
                self._publish(1, action.round, 0, ())
            elif isinstance(action, Delete):
                self._outbox.forget(action.stored)
            elif isinstance(action, BeginEpoch):
                log.warning("the receiver knows more of this outbox than it holds: it is an old copy")
                self._outbox.begin_epoch().add_done_callback(
                    lambda done: self._post(partial(self._began_epoch, done))
                )
            else:
                self._read(action, PRIORITIES[0])

    def _began_epoch(self, done: Future[None]) -> None:
        _say_failure(done)
        if done.exception() is None and self._drain.connected:
            self._do(self._drain.began(self._now()))

    def _read(self, action: Read, priority: int) -> None:
        reading = self._outbox.read(priority, action.after[priority - 1], self._room)
        reading.add_done_callback(lambda done: self._post(partial(self._was_read, action, priority, done)))

    def _was_read(self, action: Read, priority: int, done: Future[list[Record]]) -> None:
        if done.exception() is not None:
            _say_failure(done)
            self._drain.read_done(action.round, 0, 0, 0, self._now())
            return
        records = done.result()
        if not records and priority != PRIORITIES[-1]:
            self._read(action, priority + 1)
            return
        found = priority if records else 0
        last = records[-1].seq if records else 0
        size = sum(len(record.payload) for record in records)
        if self._drain.read_done(action.round, found, last, size, self._now()):
            self._publish(priority, action.round, action.after[priority - 1], tuple(records))
        self._do(self._drain.more())

    def _publish(self, priority: int, number: int, after: int, records: tuple[Record, ...]) -> None:
        dropped: Marks = self._outbox.dropped
        batch = RecordBatch(
            device=self._device,
            epoch=self._outbox.epoch,
            round=number,
            priority=priority,
            after=after,
            records=records,
            dropped=dropped,
        )
        data = encode_batch(batch)
        if self._proofs.sign is not None and self._proofs.keyring().names("receiver"):
            data = self._proofs.sign(data)
        self._send(data)


def _say_failure(done: Future[None] | Future[list[Record]]) -> None:
    if error := done.exception():
        log.error("the outbox: %s", error)
