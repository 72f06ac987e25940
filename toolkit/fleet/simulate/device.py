"""A simulated device: the real state machines of a device, driven in memory over a real link.

    desired (sealed) -> protocol.install.step -> actions -> outcomes -> install.step -> ... -> reports (retained)

Everything that decides is what a device runs: `protocol.install`, `protocol.offer`, `protocol.transfer`, the formats of
`wire`, and a `Link`. The daemon's part between two decisions (`edge_runtime`: disk, engine, SQLite) may not be imported
here, so this file is a thin driver of its own: bitmaps, manifests and the installation rest in memory, the network may
go and the machine never does, and a golden check is a pause with an answer that `faults` has laid down.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty

from toolkit.errors import IntegrityError
from toolkit.fleet.simulate.faults import Manners
from toolkit.fleet.simulate.fetch import Fetch
from toolkit.fleet.simulate.said import describe
from toolkit.link.link import Arrived, Connected, Disconnected, Link, LinkEvent
from toolkit.protocol import exchange
from toolkit.protocol.bitmap import Bitmap
from toolkit.protocol.exchange import Finished, GivenUp
from toolkit.protocol.install import needs, step
from toolkit.protocol.installation import (
    Action,
    Event,
    Given,
    Installation,
    Offer,
    Offered,
    Outcome,
    Rules,
    Serving,
    Tick,
    Withdrawn,
)
from toolkit.protocol.offer import Ability, Refused, judge, read_index, read_manifest
from toolkit.protocol.stages import known_keys
from toolkit.wire.desired import Desired, decode_desired
from toolkit.wire.digest import Digest
from toolkit.wire.document import encode_json
from toolkit.wire.index import ChunkRef, distinct_chunks
from toolkit.wire.keyring import Keyring
from toolkit.wire.manifest import Manifest
from toolkit.wire.report import ModelReport, Presence, Report
from toolkit.wire.signature import unseal
from toolkit.wire.topics import Topics

TICK_SECONDS = 1.0
BUSY_TICK_SECONDS = 0.05
"""As the daemon's: how often time passes for a device, and how often while it fetches."""
EVENTS_A_TURN = 16
ABLE = Ability(
    "x86_64", 10, free_memory_bytes=1 << 40, free_disk_bytes=1 << 40, stages=frozenset(known_keys())
)


@dataclass(frozen=True)
class _Held:
    """An artifact whose manifest and index have been accepted."""

    manifest: Manifest
    refs: tuple[ChunkRef, ...]


class SimulatedDevice:
    """One device with one model or several. For one thread: call `turn` again and again."""

    def __init__(
        self, name: str, topics: Topics, keyring: Keyring, manners: Manners, now: Callable[[], float]
    ) -> None:
        """Prepare; it says nothing before `open`.

        Args:
            name: of the device.
            topics: of the site.
            keyring: whom it trusts.
            manners: how it behaves.
            now: seconds of a clock that only grows.
        """
        self.name = name
        self.held: dict[str, Installation] = {}
        self.sent_bytes = 0
        """Payload bytes of requests, reports and presence."""
        self.heard_bytes = 0
        """Payload bytes of all that came over the link."""
        self._topics = topics
        self._keyring = keyring
        self._manners = manners
        self._now = now
        self._link: Link | None = None
        self._fetch = Fetch(name, self._request, max_frame_bytes=manners.max_frame_bytes)
        self._wanted: set[Digest] = set()
        self._waits: dict[Digest, str] = {}
        self._artifacts: dict[Digest, _Held] = {}
        self._bitmaps: dict[Digest, Bitmap] = {}
        self._tallies: dict[str, tuple[int, int, int]] = {}
        self._seeded: dict[str, int] = {}
        self._desired_seq = 0
        self._fence = 0
        self._seq = 0
        self._later: list[tuple[float, int, str, Outcome]] = []
        self._counter = 0
        self._givens: deque[tuple[str, Given]] = deque()
        self._giving = False
        self._next_tick = 0.0
        self._last = b""
        self._do: dict[Action, Callable[[Installation], None]] = {
            Action.SERVE: self._serve,
            Action.STOP: self._stop,
            Action.CLEAN: self._clean,
            Action.CHECK_OFFER: self._check_offer,
            Action.AWAIT_WINDOW: lambda held: self._end(held, Event.WINDOW),
            Action.SEED: self._seed,
            Action.DOWNLOAD: self._download,
            Action.ASSEMBLE: self._assemble,
            Action.CHECK_GOLDEN: self._check_golden,
            Action.PREPARE: lambda held: self._end_later(held, manners.load_seconds, Event.PREPARED),
        }

    # ------------------------------------------------------------ what a crowd calls
    @property
    def is_open(self) -> bool:
        """Whether it has a link, connected or not."""
        return self._link is not None

    def open(self, link: Link) -> None:
        """Take a link that is not connected yet, and connect it."""
        self._link = link
        link.subscribe(self._topics.desired(self.name), qos=1)
        link.subscribe(self._topics.data(self.name))
        for artifact in sorted(self._wanted):
            link.subscribe(self._topics.manifest(artifact), qos=1)
        link.connect()

    def close(self) -> None:
        """Say goodbye and let the link go; everything else is kept, as on a disk."""
        link, self._link = self._link, None
        if link is not None:
            presence = encode_json(Presence(device=self.name, state="offline"))
            link.publish(self._topics.presence(self.name), presence, qos=1, retain=True)
            link.close()
            self._fetch.tell(exchange.Disconnected(), self._now())

    def turn(self) -> bool:
        """Do what there is to do; tell whether there was something."""
        now = self._now()
        busy = False
        if self._link is not None and self._link.events.qsize():
            busy = True
            self._take_events(self._link)
        while self._later and self._later[0][0] <= now:
            _, _, model, outcome = heapq.heappop(self._later)
            busy = True
            self._give(model, outcome)
        if now >= self._next_tick:
            self._next_tick = now + (BUSY_TICK_SECONDS if self._fetch.active else TICK_SECONDS)
            self._fetch.tell(exchange.Tick(), now)
            for model in list(self.held):
                self._give(model, Tick())
        return busy

    # ------------------------------------------------------------ the link
    def _take_events(self, link: Link) -> None:
        for _ in range(EVENTS_A_TURN):
            try:
                event = link.events.get_nowait()
            except Empty:
                return
            self._happened(event)
            if self._link is not link:
                return

    def _happened(self, event: LinkEvent) -> None:
        if isinstance(event, Connected):
            self._publish(self._topics.presence(self.name), Presence(device=self.name, state="online"))
            if self._last:
                self._publish_bytes(self._topics.state(self.name), self._last)
            self._fetch.tell(exchange.Reconnected(), self._now())
        elif isinstance(event, Disconnected):
            self._fetch.tell(exchange.Disconnected(), self._now())
        else:
            self.heard_bytes += len(event.payload)
            self._arrived(event)

    def _arrived(self, message: Arrived) -> None:
        if message.topic == self._topics.data(self.name):
            self._fetch.tell(exchange.FrameArrived(message.payload), self._now())
        elif message.payload and message.topic == self._topics.desired(self.name):
            self._obey(message.payload)
        elif message.payload:
            artifact = message.topic.removeprefix(f"{self._topics.root}/a/").removesuffix("/m")
            for wanted, model in list(self._waits.items()):
                if wanted == artifact:
                    self._judge(self.held[model], wanted, message.payload)

    def _obey(self, sealed: bytes) -> None:
        try:
            payload = unseal(sealed, "desired", self._keyring, what=f"desired state of {self.name}")
            desired = decode_desired(payload, self.name)
        except IntegrityError:
            return
        if desired.seq <= self._desired_seq or desired.fence < self._fence:
            return
        self._desired_seq, self._fence = desired.seq, desired.fence
        told = self._seq
        self._follow(desired)
        if self._seq == told:
            self._report()

    def _follow(self, desired: Desired) -> None:
        for model in set(self.held) - {each.model for each in desired.models}:
            self._give(model, Withdrawn())
        for each in desired.models:
            offer = Offer(version=each.version, artifact=each.artifact, rollout=each.rollout)
            self._give(each.model, Offered(offer))

    def _request(self, payload: bytes) -> None:
        self.sent_bytes += len(payload)
        if self._link is not None:
            self._link.publish(self._topics.request(self.name), payload)

    def _publish(self, topic: str, document: Presence | Report) -> None:
        self._publish_bytes(topic, encode_json(document))

    def _publish_bytes(self, topic: str, payload: bytes) -> None:
        if self._link is not None:
            self.sent_bytes += len(payload)
            self._link.publish(topic, payload, qos=1, retain=True)

    # ------------------------------------------------------------ one step
    def _give(self, model: str, given: Given) -> None:
        """Hand something to the table; what follows from it comes after it, never inside it."""
        self._givens.append((model, given))
        if self._giving:
            return
        self._giving = True
        try:
            while self._givens:
                self._step(*self._givens.popleft())
        finally:
            self._giving = False

    def _step(self, model: str, given: Given) -> None:
        held = self.held.get(model) or Installation(model=model)
        new, actions = step(held, given, self._now(), Rules(self._manners.probation_seconds))
        if new != held:
            self.held[model] = new
            self._report()
        for action in actions:
            self._do[action](new)

    def _end(self, held: Installation, event: Event, code: str = "", reason: str = "") -> None:
        self._give(held.model, Outcome(held.attempt, event, code, reason))

    def _end_later(
        self, held: Installation, seconds: float, event: Event, code: str = "", reason: str = ""
    ) -> None:
        self._counter += 1
        outcome = Outcome(held.attempt, event, code, reason)
        heapq.heappush(self._later, (self._now() + seconds, self._counter, held.model, outcome))

    # ------------------------------------------------------------ actions
    def _serve(self, held: Installation) -> None:
        first = held.shall_serve
        self._give(held.model, Serving(first.artifact if first else ""))
        self._give(held.model, Tick())

    def _stop(self, held: Installation) -> None:
        self._fetch.stop()
        self._waits = {artifact: model for artifact, model in self._waits.items() if model != held.model}

    def _clean(self, _: Installation) -> None:
        kept = {
            each
            for held in self.held.values()
            for part in [needs(held)]
            for each in part.versions | part.parts
        }
        self._bitmaps = {each: bits for each, bits in self._bitmaps.items() if each in kept}

    def _check_offer(self, held: Installation) -> None:
        if held.offer is None:
            return
        artifact = held.offer.artifact
        known = self._artifacts.get(artifact)
        if known is not None:
            self._accept(held, known.manifest)
            return
        self._waits[artifact] = held.model
        self._wanted.add(artifact)
        if self._link is not None:
            self._link.subscribe(self._topics.manifest(artifact), qos=1)

    def _judge(self, held: Installation, artifact: Digest, sealed: bytes) -> None:
        del self._waits[artifact]
        if held.offer is None or held.offer.artifact != artifact:
            return
        manifest = read_manifest(sealed, self._keyring, held.model, held.offer)
        if isinstance(manifest, Refused):
            self._end(held, Event.REFUSE, manifest.code, manifest.reason)
            return
        refused = judge(manifest, ABLE, floor=held.floor, held_bytes=0)
        if refused is not None:
            self._end(held, Event.REFUSE, refused.code, refused.reason)
            return
        self._fetch.start_index(
            artifact, manifest, lambda result: self._have_index(held, artifact, manifest, result), self._now()
        )

    def _have_index(
        self, held: Installation, artifact: Digest, manifest: Manifest, result: bytes | GivenUp
    ) -> None:
        if isinstance(result, GivenUp):
            self._end(held, Event.FAIL, result.code, result.reason)
            return
        index = read_index(result, manifest)
        if isinstance(index, Refused):
            self._end(held, Event.REFUSE, index.code, index.reason)
            return
        self._artifacts[artifact] = _Held(manifest, distinct_chunks(index))
        self._accept(held, manifest)

    def _accept(self, held: Installation, manifest: Manifest) -> None:
        outcome = Outcome(held.attempt, Event.ACCEPT, counter=manifest.counter, floor=manifest.floor)
        self._give(held.model, outcome)

    def _seed(self, held: Installation) -> None:
        """Take over the chunks of the versions that are here, as a device copies them."""
        artifact = _artifact(held)
        refs = self._artifacts[artifact].refs
        here = {
            ref.digest
            for each in held.good
            if each.artifact in self._bitmaps
            for ref in self._artifacts[each.artifact].refs
        }
        have = self._bitmaps.get(artifact) or Bitmap.empty(len(refs))
        found = [number for number in have.missing() if refs[number].digest in here]
        self._bitmaps[artifact] = have.with_set(found)
        self._seeded[held.model] = len(found)
        self._end(held, Event.SEEDED)

    def _download(self, held: Installation) -> None:
        artifact = _artifact(held)
        refs = self._artifacts[artifact].refs

        def done(ending: Finished | GivenUp) -> None:
            if isinstance(ending, GivenUp):
                self._end(held, Event.FAIL, ending.code, ending.reason)
            else:
                self._bitmaps[artifact] = Bitmap.empty(len(refs)).with_set(range(len(refs)))
                self._end(held, Event.DOWNLOADED)

        self._fetch.start_chunks(artifact, refs, self._bitmaps[artifact], done, self._now())

    def _assemble(self, held: Installation) -> None:
        whole = self._bitmaps.get(_artifact(held))
        self._end(held, Event.VERIFIED if whole is not None and whole.full else Event.CHUNKS_LOST)

    def _check_golden(self, held: Installation) -> None:
        seconds = self._manners.check_seconds
        if held.offer is not None and held.offer.version in self._manners.refuses:
            self._end_later(held, seconds, Event.FAIL, "golden-mismatch", "this device was told to fail it")
        else:
            self._end_later(held, seconds, Event.PASSED)

    # ------------------------------------------------------------ reports
    def _report(self) -> None:
        self._seq += 1
        models = tuple(self._describe(held) for held in self.held.values())
        report = Report(
            device=self.name, seq=self._seq, desired_seq=self._desired_seq, starts=1, models=models
        )
        self._last = encode_json(report)
        self._publish_bytes(self._topics.state(self.name), self._last)

    def _describe(self, held: Installation) -> ModelReport:
        known = self._artifacts.get(held.offer.artifact) if held.offer else None
        have = self._fetch.have or self._bitmaps.get(held.offer.artifact if held.offer else Digest(""))
        return describe(
            held,
            self._fetch,
            chunks=known.manifest.chunks if known else 0,
            have=have.count if have else 0,
            seeded=self._seeded.get(held.model, 0),
        )


def _artifact(held: Installation) -> Digest:
    if held.offer is None:
        raise IntegrityError(f"{held.model}: work without an offer")
    return held.offer.artifact
