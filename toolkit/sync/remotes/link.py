"""A Remote at the other end of a broker: how a device that reaches nothing but MQTT brings its data out.

    layouts -> LinkRemote -> StoreCall on d/DEVICE/put -> fleet.inbox -> a Remote over there
                          <- StoreAnswer on d/DEVICE/got

Every operation waits for its answer and is repeated until one comes; the inbox knows a repetition by its name. Nothing
here is faster than the broker: a device that reaches the storage itself should do so.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final

from msgspec.structs import replace

from toolkit.errors import (
    IntegrityError,
    MissingObjectError,
    RemoteUnavailableError,
    SyncError,
    UnsafePathError,
)
from toolkit.link.link import Arrived, Connected, Disconnected, Link
from toolkit.protocol.bitmap import Bitmap
from toolkit.protocol.parcel import Sending
from toolkit.sync.remotes.remote import MAX_OBJECT_BYTES, Found, check_key, check_prefix
from toolkit.wire.answer_seal import receive_answer
from toolkit.wire.digest import digest_of
from toolkit.wire.keyring import Keyring
from toolkit.wire.store_call import (
    MAX_CALL_BYTES,
    PIECE_OVERHEAD,
    StoreAnswer,
    StoreCall,
    decode_answer,
    digest_of_call,
    encode_call,
    piece_size,
)
from toolkit.wire.topics import Topics

log = logging.getLogger(__name__)
NOBODY: Final = Keyring()


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds."""

    connect: float = 5.0
    """For the broker, at the beginning."""
    answer: float = 2.0
    """For an answer before the question is repeated; it doubles."""
    longest_answer: float = 15.0
    give_up: float = 180.0
    """Without any answer, or without any progress, until an operation fails."""


class LinkRemote:
    """A store over there. Usable by several threads at once; `close` it."""

    def __init__(
        self,
        link: Link,
        topics: Topics,
        device: str,
        *,
        address: str,
        frame_bytes: int,
        keyring: Keyring = NOBODY,
        patience: Patience | None = None,
    ) -> None:
        """Connect and find the inbox.

        Args:
            link: not connected yet; it is ours from now on.
            topics: of the site.
            device: whose store it is; the broker's access rules see to it that nobody else's can be reached.
            address: of the broker, for people.
            frame_bytes: largest payload that the broker takes.
            keyring: whom the device trusts; where that names a receiver, only its answers count.
            patience: how long to wait.

        Raises:
            RemoteUnavailableError: no broker, or no inbox answers.
        """
        self._link, self._topics, self._device = link, topics, device
        self._address, self._keyring = address, keyring
        self._piece_bytes = frame_bytes - PIECE_OVERHEAD
        self._patience = patience or Patience()
        self._name = secrets.token_hex(8)
        self._number = 0
        self._waiting: dict[str, tuple[str, SimpleQueue[StoreAnswer]]] = {}
        """By name of a call: the digest of what it asks, and where its answers go."""
        self._lock = threading.Lock()
        self._connected, self._ending = threading.Event(), threading.Event()
        self._reason = "no answer"
        link.subscribe(topics.given(device))
        link.connect()
        self._reader = threading.Thread(target=self._read_events, name="link-remote", daemon=True)
        self._reader.start()
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Where it is, for people."""
        return f"mqtt://{self._address}/{self._topics.root}/d/{self._device}"

    def close(self) -> None:
        """End the connection. Repeated calls do nothing."""
        self._ending.set()
        self._link.close()

    # ------------------------------------------------------------ the operations
    def read(
        self, key: str, *, start: int = 0, length: int | None = None, limit: int = MAX_OBJECT_BYTES
    ) -> bytes:
        """Give the bytes of an object; see `Remote.read`.

        What is larger than a frame comes in several answers. That is no danger to a reader: an inbox lets only Refs be
        written again, and a Ref fits into one.
        """
        check_key(key)
        pieces: list[bytes] = []
        got, wanted = 0, -1 if length is None else length
        while True:
            left = wanted if wanted < 0 else wanted - got
            answer = self._ask(self._call("read", key, start=start + got, length=left))
            pieces.append(answer.data)
            got += len(answer.data)
            if got > limit:
                more = " and more" if answer.more else ""
                message = f"{self.url}/{key}: {got}{more} bytes to read; at most {limit} are"
                raise IntegrityError(message)
            if not answer.more or not answer.data:
                return b"".join(pieces)

    def write(self, key: str, data: bytes) -> None:
        """Store an object whole; see `Remote.write`."""
        self._send("write", key, data)

    def write_new(self, key: str, data: bytes) -> bool:
        """Store an object unless it is there; see `Remote.write_new`.

        What is named by its digest counts as stored when it is there with the same bytes: the inbox that stored it for
        us may have died before its answer came.
        """
        return self._send("new", key, data).stored

    def exists(self, key: str) -> bool:
        """Say whether there is such an object."""
        return self._ask(self._call("exists", check_key(key))).stored

    def list(self, prefix: str = "") -> Iterator[Found]:
        """Yield keys and sizes in the order of the keys; see `Remote.list`."""
        check_prefix(prefix)
        after = ""
        while True:
            answer = self._ask(self._call("list", prefix, after=after))
            for each in answer.listed:
                yield Found(each.key, each.size)
            if not answer.more or not answer.listed:
                return
            after = answer.listed[-1].key

    def delete(self, key: str) -> bool:
        """Remove an object; say whether it was there."""
        return self._ask(self._call("delete", check_key(key))).stored

    # ------------------------------------------------------------ calls and answers
    def _call(self, operation: str, key: str = "", **values: object) -> StoreCall:
        with self._lock:
            self._number += 1
            name = f"{self._name}-{self._number}"
        return StoreCall(device=self._device, call=name, operation=operation, key=key, **values)  # type: ignore[arg-type]

    def _greet(self) -> None:
        if not self._connected.wait(self._patience.connect):
            raise RemoteUnavailableError(
                f"the broker {self._address} cannot be reached: {self._reason}",
                hint="tiers-edge check --config … says what is wrong",
            )
        self._ask(self._call("hello"))

    def _ask(self, call: StoreCall) -> StoreAnswer:
        """Repeat a question until its answer comes."""
        answers = self._register(call)
        try:
            began, pause = time.monotonic(), self._patience.answer
            while True:
                self._publish(call)
                answer = self._await(answers, pause)
                if answer is not None and answer.done and answer.code != "busy":
                    return self._checked(call, answer)
                if answer is not None and answer.code == "busy":
                    self._ending.wait(pause)
                self._check_patience(call, began, answer)
                pause = min(pause * 2, self._patience.longest_answer)
        finally:
            self._forget(call)

    def _send(self, operation: str, key: str, data: bytes) -> StoreAnswer:
        """Send an object in bursts of pieces until all of it is over there and stored."""
        check_key(key)
        call = self._call(
            operation,
            key,
            total=len(data),
            digest=digest_of(data),
            piece_bytes=min(self._piece_bytes, max(len(data), 1)),
        )
        answers = self._register(call)
        sending = Sending.of(call.total, call.piece_bytes)
        began, pause = time.monotonic(), self._patience.answer
        try:
            while True:
                burst = sending.burst()
                self._publish_pieces(call, data, burst)
                answer = self._await(answers, pause)
                if answer is not None and answer.done and answer.code != "busy":
                    return self._checked(call, answer)
                before = sending.have.count
                if answer is None:
                    sending, pause = sending.silent(), min(pause * 2, self._patience.longest_answer)
                elif answer.code == "busy":
                    self._ending.wait(pause)
                    sending, pause = sending.refused(), min(pause * 2, self._patience.longest_answer)
                else:
                    sending = sending.answered(Bitmap.load(sending.have.size, answer.pieces), burst)
                if sending.have.count > before:
                    began, pause = time.monotonic(), self._patience.answer
                self._check_patience(call, began, answer)
        finally:
            self._forget(call)

    def _publish_pieces(self, call: StoreCall, data: bytes, burst: tuple[int, ...]) -> None:
        """Send these pieces; the last one asks for an answer."""
        for number in burst:
            start = number * call.piece_bytes
            piece = data[start : start + piece_size(call.total, call.piece_bytes, number)]
            self._publish(replace(call, piece=number, data=piece, answer=number == burst[-1]))

    def _publish(self, call: StoreCall) -> None:
        self._link.publish(self._topics.put(self._device), encode_call(call))

    def _register(self, call: StoreCall) -> SimpleQueue[StoreAnswer]:
        answers: SimpleQueue[StoreAnswer] = SimpleQueue()
        with self._lock:
            self._waiting[call.call] = digest_of_call(call), answers
        return answers

    def _forget(self, call: StoreCall) -> None:
        with self._lock:
            del self._waiting[call.call]

    @staticmethod
    def _await(answers: SimpleQueue[StoreAnswer], seconds: float) -> StoreAnswer | None:
        """Give the newest answer; older ones tell of less."""
        try:
            answer = answers.get(timeout=seconds)
            while not answers.empty() and not answer.done:
                answer = answers.get()
        except Empty:
            return None
        return answer

    def _check_patience(self, call: StoreCall, began: float, answer: StoreAnswer | None) -> None:
        if self._ending.is_set():
            raise RemoteUnavailableError(f"{self.url} was closed")
        if time.monotonic() - began < self._patience.give_up:
            return
        said = answer.message if answer is not None and answer.message else self._reason
        raise RemoteUnavailableError(
            f"{self.url}: {call.operation} {call.key or 'of the inbox'} was not answered: {said}",
            hint="is an inbox running for this site? tiers inbox --to file:///folder",
        )

    def _checked(self, call: StoreCall, answer: StoreAnswer) -> StoreAnswer:
        what = f"{self.url}/{call.key}: {answer.message}"
        if answer.code == "missing":
            raise MissingObjectError(f"{self.url} has no {call.key}", hint=answer.hint)
        if answer.code == "unsafe":
            raise UnsafePathError(what, hint=answer.hint)
        if answer.code == "damaged":
            raise IntegrityError(what, hint=answer.hint)
        if answer.code == "refused":
            raise SyncError(what, hint=answer.hint)
        if answer.code:
            raise RemoteUnavailableError(what, hint=answer.hint)
        return answer

    # ------------------------------------------------------------ what arrives
    def _read_events(self) -> None:
        while not self._ending.is_set():
            try:
                event = self._link.events.get(timeout=0.5)
            except Empty:
                continue
            if isinstance(event, Connected):
                self._connected.set()
            elif isinstance(event, Disconnected):
                self._reason = event.reason
            elif isinstance(event, Arrived):
                self._arrived(event.payload)

    def _arrived(self, payload: bytes) -> None:
        try:
            received = receive_answer(payload, limit=MAX_CALL_BYTES)
            answer = decode_answer(received.payload)
            with self._lock:
                waiting = self._waiting.get(answer.call)
            if waiting is None:
                return
            about, answers = waiting
            received.check(self._topics.given(self._device), about, self._keyring)
        except IntegrityError as error:
            self._reason = error.message
            log.warning("an answer of the inbox does not count: %s", error.message)
            return
        answers.put(answer)
