"""The depot: answers devices' requests with chunks out of the registry, and lays out the manifests of rollouts.

    request -> protocol.serve -> what to read -> store (every chunk is checked as it is read) -> frames -> device

It holds no state that matters: several depots share the requests of a site, and one that is killed is replaced by
starting another. What it sends it has proven; a damaged store is told to the device and the log, never passed on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty

from toolkit.errors import (
    IntegrityError,
    MissingObjectError,
    RemoteUnavailableError,
    TiersError,
    UnreachableError,
)
from toolkit.fleet.layout import Layout
from toolkit.fleet.reports import SLOW_SECONDS
from toolkit.fleet.stream import Streamer
from toolkit.link.link import Arrived, Connected, Disconnected, Link, LinkEvent
from toolkit.protocol.buckets import Rate
from toolkit.protocol.serve import begin, step
from toolkit.protocol.supply import (
    Asked,
    Limits,
    Load,
    Loaded,
    LookUp,
    Offer,
    Offered,
    Refused,
    Send,
    ServeEvent,
    Tick,
    Unknown,
    Unreadable,
    Wake,
    Work,
)
from toolkit.registry.catalogue import open_artifact
from toolkit.sync.layouts.packs import PackStore
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.frame import Refusal
from toolkit.wire.index import ChunkRef, decode_index, distinct_chunks
from toolkit.wire.keyring import Keyring
from toolkit.wire.topics import Topics

GROUP = "depot"
PATIENCE_SECONDS = 4.0
"""How long the first connection may take, all attempts together; later the broker is waited for without end. One that
is so slow that nothing has gone wrong by then gets `reports.SLOW_SECONDS` more."""
_POLL_SECONDS = 0.25
"""How soon a depot notices that it shall stop."""

log = logging.getLogger(__name__)


@dataclass
class DepotCounters:
    """What a depot has done since it started; for metrics and tests."""

    requests: int = 0
    frames: int = 0
    bytes_sent: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Refusal, in lower case, or `unreadable` -> how often."""
    damaged: set[str] = field(default_factory=set)
    """Messages that name pack and chunk."""
    chunks_read: int = 0
    read_seconds: float = 0.0
    """Time spent reading and checking chunks."""
    limited_seconds: float = 0.0
    """Time in which devices waited for nothing but a rate."""
    registry_errors: int = 0
    """Times that the registry did not answer."""


@dataclass(frozen=True)
class Waiting:
    """What devices wait for at this moment."""

    devices: int
    size: int
    """Bytes of the chunks that they asked for, when open."""


@dataclass(frozen=True)
class _Shelf:
    """An artifact that is served: where its index and chunks are."""

    index: Digest
    index_bytes: int
    refs: tuple[ChunkRef, ...]


class Depot:
    """Serves one site from one registry; `run` it in a thread of its own."""

    def __init__(
        self,
        link: Link,
        topics: Topics,
        open_store: Callable[[], PackStore],
        keyring: Keyring,
        *,
        limits: Limits | None = None,
        gate: Callable[[int], None] | None = None,
        group: str = GROUP,
        broadcast: Rate | None = None,
    ) -> None:
        """Prepare a depot.

        Args:
            link: to the site's broker, not connected yet; the depot closes it.
            topics: of the site.
            open_store: opens the registry; asked again while the registry is away, because a depot may start before it.
            keyring: whose manifests and rollouts count.
            limits: largest frame and byte rates; nothing means 256 KiB and no rates.
            gate: called with the number of each frame, from 0, before it is sent, in the depot's thread; the depot
                waits for it to return. For whoever wants to hold or count the traffic.
            group: depots of one group share the requests; see `fleet.share`.
            broadcast: pace of the streams that several devices share; nothing streams never.
        """
        self._link = link
        self._topics = topics
        self._open_store = open_store
        self._keyring = keyring
        self._gate = gate
        self._group = group
        self._store: PackStore | None = None
        self._shelves: dict[Digest, _Shelf] = {}
        self._layout = Layout(link, topics, self._registry, keyring)
        self._held = begin(limits or Limits(), time.monotonic())
        self._wake_at: float | None = None
        self._limited_since: float | None = None
        frame = self._held.limits.max_frame_bytes
        self._streamer = Streamer(link, topics, broadcast, frame, time.monotonic()) if broadcast else None
        self._work: Work | None = None
        self.counters = DepotCounters()
        self.connected = False
        """Whether the broker is reached."""
        self.other_roads: dict[str, Callable[[], int]] = {}
        """Road beside MQTT's -> gives the bytes that were sent there; whoever opens a road enters it."""
        if self._streamer is not None:
            streamed = self._streamer.counters
            self.other_roads["broadcast"] = lambda: streamed.bytes_sent

    @property
    def manifests(self) -> int:
        """How many manifests have been laid out since the start."""
        return self._layout.count

    @property
    def waiting(self) -> Waiting:
        """What devices wait for now; any thread may ask."""
        held = self._held
        size = sum(
            held.offers[job.artifact].chunk_sizes[number]
            for jobs in held.queues.values()
            for job in jobs
            for number in job.numbers
        )
        return Waiting(len(held.queues), size)

    def run(
        self,
        stop: threading.Event,
        *,
        ready: Callable[[], None] | None = None,
        beat: Callable[[], None] | None = None,
    ) -> None:
        """Serve until `stop` is set; `ready` is called once the depot is connected, `beat` again and again after it.

        Raises:
            UnreachableError: the broker cannot be reached at the start. Later it is waited for.
        """
        try:
            self._link.subscribe(f"$share/{self._group}/{self._topics.request('+')}")
            self._link.subscribe(self._topics.rollout("+"), qos=1)
            self._link.subscribe(self._topics.plan("+", "+"), qos=1)
            self._link.connect()
            self._await_connection()
            if ready is not None:
                ready()
            while not stop.is_set():
                if beat is not None:
                    beat()
                self._turn()
        finally:
            self._link.close()

    def _await_connection(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        reason = ""
        while (left := deadline + (0.0 if reason else SLOW_SECONDS) - time.monotonic()) > 0:
            event = self._take(left)
            if isinstance(event, Connected):
                self.connected = True
                return
            if isinstance(
                event, Arrived
            ):  # what is retained may come before we are told that we are connected
                self._arrived(event)
            elif event is not None:
                reason = event.reason
        raise UnreachableError(
            f"the broker cannot be reached: {reason or 'no answer'}",
            hint="start it, or name another one with --broker mqtts://HOST:PORT",
        )

    def _turn(self) -> None:
        """Take one event, if there is one, then do one batch of work: no request waits for the whole of another."""
        event = self._take(0.0 if self._work is not None else self._pause())
        if isinstance(event, Arrived):
            self._arrived(event)
        elif isinstance(event, Connected):
            self.connected = True
            log.warning("the broker is back")
            self._layout.lay_out_again(time.monotonic())
        elif isinstance(event, Disconnected):
            self.connected = False
            log.warning("the broker is away: %s", event.reason)
        self._layout.retry(time.monotonic())
        if self._work is not None:
            work, self._work = self._work, None
            self._tell(self._load(work))
        elif self._wake_at is not None and time.monotonic() >= self._wake_at:
            self._tell(Tick())
        if self._streamer is not None:
            self._serve_alone(self._streamer.due(time.monotonic()))
            self._streamer.send(self._read_for_all, time.monotonic())

    def _take(self, seconds: float) -> LinkEvent | None:
        try:
            return self._link.events.get(timeout=max(0.0, seconds))
        except Empty:
            return None

    def _pause(self) -> float:
        now = time.monotonic()
        waits = [_POLL_SECONDS]
        if self._wake_at is not None:
            waits.append(max(0.0, self._wake_at - now))
        if self._streamer is not None and (stream := self._streamer.wait(now)) is not None:
            waits.append(stream)
        return min(waits)

    def _arrived(self, event: Arrived) -> None:
        if self._layout.take(event, time.monotonic()):
            return
        try:
            device = self._topics.device_of(event.topic)
        except IntegrityError as error:
            log.warning("ignored: %s", error.message)
            return
        self.counters.requests += 1
        if self._streamer is None:
            self._tell(Asked(device, event.payload))
        else:
            self._serve_alone(self._streamer.take(device, event.payload, self._sizes_of, time.monotonic()))

    def _serve_alone(self, requests: tuple[tuple[str, bytes], ...]) -> None:
        for device, payload in requests:
            self._tell(Asked(device, payload))

    def _sizes_of(self, artifact: Digest) -> tuple[int, ...] | None:
        """Give the sizes of an artifact's chunks, looked up at most once in a while; None when it is not served."""
        until, _ = self._held.unknown.get(artifact, (0.0, ""))
        if artifact not in self._held.offers and until <= time.monotonic():
            self._tell(self._look_up(artifact))
        offer = self._held.offers.get(artifact)
        return offer.chunk_sizes if offer is not None else None

    def _read_for_all(self, artifact: Digest, numbers: tuple[int, ...]) -> list[tuple[int, bytes]] | None:
        """Read chunks for a stream; what is damaged is left out, and told to who asks for it alone."""
        shelf, stored = self._shelves[artifact], list[tuple[int, bytes]]()
        for number in numbers:
            try:
                stored.append((number, self._registry().read_stored(shelf.refs[number].digest)))
            except (IntegrityError, MissingObjectError) as error:
                self.counters.damaged.add(error.message)
            except RemoteUnavailableError as error:
                self.counters.registry_errors += 1
                log.warning("the registry is away: %s", error.message)
                return None
        self.counters.chunks_read += len(stored)
        return stored

    # ------------------------------------------------------------ chunks
    def _tell(self, event: ServeEvent) -> None:
        """Hand an event to the protocol and do what it wants done; a batch to load waits for `_turn`."""
        now = time.monotonic()
        self._held, actions = step(self._held, event, now)
        self._note_limit(now, limited=any(isinstance(action, Wake) for action in actions))
        self._wake_at = None
        for action in actions:
            if isinstance(action, Send):
                self._send(action)
            elif isinstance(action, Load):
                self._work = action.work
            elif isinstance(action, LookUp):
                self._tell(self._look_up(action.artifact))
            elif isinstance(action, Wake):
                self._wake_at = time.monotonic() + action.seconds
            else:
                self._note(action)

    def _note_limit(self, now: float, *, limited: bool) -> None:
        """Add up the time in which a rate alone held frames back."""
        if self._limited_since is not None:
            self.counters.limited_seconds += now - self._limited_since
        self._limited_since = now if limited else None

    def _send(self, action: Send) -> None:
        if self._gate is not None:
            self._gate(self.counters.frames)
        self._link.publish(self._topics.data(action.device), action.payload)
        self.counters.frames += 1
        self.counters.bytes_sent += len(action.payload)

    def _look_up(self, artifact: Digest) -> ServeEvent:
        try:
            store = self._registry()
            manifest = open_artifact(store, artifact, self._keyring).manifest
            index = store.get_index_bytes(manifest.index)
            refs = distinct_chunks(decode_index(index, manifest.index))
        except TiersError as error:
            self.counters.registry_errors += isinstance(error, RemoteUnavailableError)
            log.warning("artifact %s cannot be served: %s", artifact[:12], error.message)
            return Unknown(artifact, error.message)
        self._shelves[artifact] = _Shelf(manifest.index, len(index), refs)
        return Offered(Offer(artifact, len(index), tuple(ref.size for ref in refs)))

    def _load(self, work: Work) -> Loaded | Unreadable:
        shelf = self._shelves[work.artifact]
        data: list[bytes | memoryview] = []
        began = time.monotonic()
        try:
            store = self._registry()
            if work.index_from is not None:
                data.append(_index_part(store, shelf, work))
            for stored in store.read_run(shelf.refs[number].digest for number in work.numbers):
                data.append(stored)  # noqa: PERF402  # what came before a damaged one is sent
        except (IntegrityError, MissingObjectError) as error:
            self.counters.damaged.add(error.message)
            log.error("the registry is damaged: %s; try: %s", error.message, error.hint)  # noqa: TRY400  # no traceback
            return Unreadable(work, error.message, tuple(data))
        except RemoteUnavailableError as error:
            self.counters.registry_errors += 1
            log.warning("the registry is away: %s", error.message)
            return Unreadable(work, "the registry does not answer", tuple(data), Refusal.BUSY)
        finally:
            self.counters.chunks_read += len(data) if work.index_from is None else 0
            self.counters.read_seconds += time.monotonic() - began
        return Loaded(work, tuple(data))

    def _registry(self) -> PackStore:
        if self._store is None:
            self._store = self._open_store()
        return self._store

    def _note(self, refused: Refused) -> None:
        kind = refused.refusal.name.lower() if refused.refusal is not None else "unreadable"
        self.counters.refused[kind] += 1
        log.info("device %s: %s: %s", refused.device, kind, refused.reason)


def _index_part(store: PackStore, shelf: _Shelf, work: Work) -> bytes:
    index = store.get_index_bytes(shelf.index)
    if digest_of(index) != shelf.index:
        raise IntegrityError(
            f"index {shelf.index[:12]} in {store.remote.url} is damaged",
            hint=f"remove indexes/{shelf.index} there and push the model again",
        )
    first = work.index_from or 0
    return index[first : first + work.length]
