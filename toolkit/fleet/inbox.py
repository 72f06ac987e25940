"""The inbox: where data of devices goes that reach nothing but the broker.

    StoreCall on d/DEVICE/put -> gathered, checked -> a Remote of its own for each device -> StoreAnswer on d/DEVICE/got

The other end is `sync.remotes.link`. What a device sends is limited before memory is taken for it, checked against its
digest, and asked past the rules before anything is written. An inbox that is killed forgets what was half sent; the
device sends it again. Two inboxes at once do the same work twice and no harm.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.errors import (
    IntegrityError,
    MissingObjectError,
    RemoteUnavailableError,
    TiersError,
    UnsafePathError,
)
from toolkit.fleet.receive import batches
from toolkit.link.link import Arrived, Link
from toolkit.protocol.parcel import Gathering
from toolkit.sync.remotes.remote import MAX_OBJECT_BYTES, Remote
from toolkit.wire.answer_seal import SEAL_BYTES, seal_answer
from toolkit.wire.store_call import (
    PIECE_OVERHEAD,
    Code,
    Listed,
    StoreAnswer,
    StoreCall,
    decode_call,
    digest_of_call,
    encode_answer,
)
from toolkit.wire.topics import Topics

log = logging.getLogger(__name__)

WORKERS = 4
"""Threads that read and write the storage."""
FORGOTTEN_SECONDS = 120.0
"""After so long without a piece, what a device has half sent is dropped; it sends it again if it still lives."""
KEPT_CALLS = 64
"""Calls of one device that are remembered, so that a repetition gets the same answer."""
MAX_DEVICES = 10_000
_ENTRY_BYTES = 64
"""What an entry of a listing takes beside its key."""

Rule = Callable[[StoreCall, bytes, Remote], None]


@dataclass(frozen=True)
class InboxLimits:
    """How much may be under way at once, in bytes."""

    per_device: int = 2 * MAX_OBJECT_BYTES
    in_all: int = 8 * MAX_OBJECT_BYTES
    frame_bytes: int = 256 * 1024
    """Largest payload that the broker takes."""


@dataclass
class InboxCounters:
    """What an inbox has done since it started."""

    calls: int = 0
    objects: int = 0
    """Objects that were stored."""
    bytes_stored: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Code of the answer -> how often."""


@dataclass
class _Open:
    """A call that is not over."""

    about: str
    """Digest of what was asked first under its name."""
    gathering: Gathering | None = None
    running: bool = False
    answer: StoreAnswer | None = None
    """How it ended."""
    touched: float = field(default_factory=time.monotonic)

    @property
    def held_bytes(self) -> int:
        return self.gathering.total if self.gathering is not None else 0


class Inbox:
    """Takes what devices bring; `run` it in a thread of its own."""

    def __init__(
        self,
        link: Link,
        topics: Topics,
        storage_of: Callable[[str], Remote],
        *,
        rule: Rule,
        key: Ed25519PrivateKey | None = None,
        limits: InboxLimits | None = None,
    ) -> None:
        """Prepare.

        Args:
            link: to the site's broker, not connected yet; the inbox closes it.
            topics: of the site.
            storage_of: opens the Remote of a device; asked once, and again after it failed.
            rule: raises when a call must not be carried out; see `inbox_rules`.
            key: seals answers; None leaves them unsealed, for devices whose keyring names no receiver.
            limits: how much may be under way.
        """
        self._key = key
        self._link, self._topics = link, topics
        self._storage_of, self._rule = storage_of, rule
        self._limits = limits or InboxLimits()
        self._name = secrets.token_hex(4)
        self._calls: OrderedDict[str, OrderedDict[str, _Open]] = OrderedDict()
        self._remotes: dict[str, Remote] = {}
        self._lock = threading.Lock()
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="inbox")
        self.counters = InboxCounters()

    def run(
        self,
        stop: threading.Event,
        *,
        ready: Callable[[], None] | None = None,
        beat: Callable[[], None] | None = None,
    ) -> None:
        """Take calls until `stop` is set; `ready` is called when it is connected, `beat` again and again.

        A broker that is away is waited for; the log says so.
        """
        try:
            self._link.subscribe(self._topics.put("+"))
            self._link.connect()
            for arrived in batches(self._link, stop, most=1, ready=ready, beat=beat):
                self._arrived(arrived[0])
        finally:
            self._workers.shutdown(wait=True, cancel_futures=True)
            self._link.close()

    # ------------------------------------------------------------ in the thread of `run`
    def _arrived(self, event: Arrived) -> None:
        try:
            call = decode_call(event.payload)
            _check_speaker(call, self._topics.device_of(event.topic))
        except IntegrityError as error:
            self.counters.refused["unreadable"] += 1
            log.warning("a call does not count: %s", error.message)
            return
        self.counters.calls += 1
        self._take(call)

    def _take(self, call: StoreCall) -> None:
        calls = self._calls_of(call.device)
        known = calls.get(call.call)
        # Asked first: who works on it sets the answer before it says that it has ended.
        runs = known is not None and known.running
        if known is not None and known.answer is not None:
            if call.answer:
                self._answer(call.device, known.about, known.answer)
            return
        if runs:
            return
        if call.operation in {"write", "new"}:
            self._gather(call, calls, known)
        elif known is None:
            calls[call.call] = begun = _Open(digest_of_call(call), running=True)
            self._submit(call, begun, b"")

    def _gather(self, call: StoreCall, calls: OrderedDict[str, _Open], known: _Open | None) -> None:
        if known is None:
            if call.total > self._largest:
                message = f"an object of {call.total} bytes; at most {self._largest} are taken here"
                self.counters.refused["refused"] += 1
                self._answer(call.device, digest_of_call(call), _ended(call, "refused", message))
                return
            if not self._has_room(call):
                self.counters.refused["busy"] += 1
                busy = _ended(call, "busy", "the inbox has enough under way")
                self._answer(call.device, digest_of_call(call), busy)
                return
            known = calls[call.call] = _Open(digest_of_call(call), Gathering(call))
        gathering = known.gathering
        assert gathering is not None  # noqa: S101 -- a call that gathers has not ended, and is of this kind
        try:
            gathering.take(call)
            known.touched = time.monotonic()
            if gathering.have.full:
                data = gathering.whole()
                known.running = True
                self._submit(call, known, data)
                return
        except IntegrityError as error:
            log.warning("%s of %s: %s", call.key[:100], call.device, error.message)
        if call.answer:
            so_far = StoreAnswer(call=call.call, pieces=gathering.have.raw)
            self._answer(call.device, known.about, so_far)

    def _has_room(self, call: StoreCall) -> bool:
        self._drop_abandoned()
        mine = sum(each.held_bytes for each in self._calls[call.device].values())
        everybody = sum(each.held_bytes for calls in self._calls.values() for each in calls.values())
        limits = self._limits
        return mine + call.total <= limits.per_device and everybody + call.total <= limits.in_all

    def _drop_abandoned(self) -> None:
        before = time.monotonic() - FORGOTTEN_SECONDS
        for calls in self._calls.values():
            for name, each in list(calls.items()):
                if each.gathering is not None and not each.running and each.touched < before:
                    del calls[name]

    def _calls_of(self, device: str) -> OrderedDict[str, _Open]:
        """Give the calls of a device, and forget old ones: of the device, and of devices that were silent longest."""
        calls = self._calls.setdefault(device, OrderedDict())
        self._calls.move_to_end(device)
        while len(calls) > KEPT_CALLS:
            oldest = next((name for name, each in calls.items() if not each.running), None)
            if oldest is None:
                break
            del calls[oldest]
        while len(self._calls) > MAX_DEVICES:
            self._calls.popitem(last=False)
        return calls

    # ------------------------------------------------------------ in a worker
    def _submit(self, call: StoreCall, begun: _Open, data: bytes) -> None:
        self._workers.submit(self._carry_out, call, begun, data)

    def _carry_out(self, call: StoreCall, begun: _Open, data: bytes) -> None:
        try:
            answer = self._done(call, data)
        except TiersError as error:
            answer = _ended(call, _code_of(error), error.message, error.hint)
        except Exception:
            log.exception("%s of %s failed", call.operation, call.device)
            answer = _ended(call, "unavailable", "the inbox failed; its log says how")
        if answer.code:
            self.counters.refused[answer.code] += 1
            log.info("%s: %s %s: %s", call.device, call.operation, call.key[:100], answer.message)
        begun.answer, begun.gathering, begun.running = answer, None, False
        self._answer(call.device, begun.about, answer)

    def _done(self, call: StoreCall, data: bytes) -> StoreAnswer:
        answer = StoreAnswer(call=call.call, done=True)
        if call.operation == "hello":
            return _with(answer, inbox=self._name)
        remote = self._remote(call.device)
        self._rule(call, data, remote)
        if call.operation in {"write", "new"}:
            stored = self._store(call, data, remote)
            return _with(answer, stored=stored)
        if call.operation == "read":
            return self._read(call, remote, answer)
        if call.operation == "list":
            return self._list(call, remote, answer)
        if call.operation == "exists":
            return _with(answer, stored=remote.exists(call.key))
        return _with(answer, stored=remote.delete(call.key))

    def _store(self, call: StoreCall, data: bytes, remote: Remote) -> bool:
        if call.operation == "write":
            remote.write(call.key, data)
        elif not remote.write_new(call.key, data):
            # A device that asks again because an inbox died has stored it itself.
            return call.key.startswith(("packs/", "indexes/")) and remote.read(call.key) == data
        with self._lock:
            self.counters.objects += 1
            self.counters.bytes_stored += len(data)
        return True

    def _read(self, call: StoreCall, remote: Remote, answer: StoreAnswer) -> StoreAnswer:
        length = self._room if call.length < 0 else min(call.length, self._room)
        data = remote.read(call.key, start=call.start, length=length)
        more = len(data) == length and length != call.length
        return _with(answer, data=data, more=more)

    def _list(self, call: StoreCall, remote: Remote, answer: StoreAnswer) -> StoreAnswer:
        listed: list[Listed] = []
        room = self._room
        for found in remote.list(call.key):
            if found.key <= call.after:
                continue
            room -= len(found.key) + _ENTRY_BYTES
            if room < 0:
                return _with(answer, listed=tuple(listed), more=True)
            listed.append(Listed(found.key, found.size))
        return _with(answer, listed=tuple(listed))

    def _remote(self, device: str) -> Remote:
        with self._lock:
            if device not in self._remotes:
                self._remotes[device] = self._storage_of(device)
            return self._remotes[device]

    @property
    def _largest(self) -> int:
        return min(MAX_OBJECT_BYTES, self._limits.per_device, self._limits.in_all)

    @property
    def _room(self) -> int:
        return self._limits.frame_bytes - PIECE_OVERHEAD - SEAL_BYTES

    def _answer(self, device: str, about: str, answer: StoreAnswer) -> None:
        topic, data = self._topics.given(device), encode_answer(answer)
        if self._key is not None:
            data = seal_answer(data, topic, about, self._key)
        self._link.publish(topic, data)


def _check_speaker(call: StoreCall, device: str) -> None:
    if call.device != device:
        raise IntegrityError(f"a call on the topic of {device} speaks for {call.device[:70]!r}")


def _with(answer: StoreAnswer, **values: object) -> StoreAnswer:
    return StoreAnswer(call=answer.call, done=True, **values)  # type: ignore[arg-type]


def _ended(call: StoreCall, code: Code, message: str, hint: str = "") -> StoreAnswer:
    return StoreAnswer(call=call.call, done=True, code=code, message=message[:1000], hint=hint[:1000])


def _code_of(error: TiersError) -> Code:
    if isinstance(error, MissingObjectError):
        return "missing"
    if isinstance(error, UnsafePathError):
        return "unsafe"
    if isinstance(error, IntegrityError):
        return "damaged"
    return "unavailable" if isinstance(error, RemoteUnavailableError) else "refused"
