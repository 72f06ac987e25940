"""A real driver of rollouts that keeps a journal: `fleet.steer.Steering` with a pencil on both of its sides.

It does what `Steering.run` does, and writes down which documents arrived, when it looked, and what it wrote.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, Queue

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.fleet.simulate.journal import Entry, Journal
from toolkit.fleet.steer import EVENTS_PER_TICK, Steering
from toolkit.link.link import Arrived, Letter, Link, LinkEvent
from toolkit.wire.keyring import Keyring
from toolkit.wire.topics import Topics

_WAIT_SECONDS = 0.1


class JournalledDriver:
    """Steers a site; `run` it in a thread of its own."""

    def __init__(self, link: Link, topics: Topics, key: Ed25519PrivateKey, keyring: Keyring) -> None:
        """Prepare. Arguments as `Steering`'s; the link is closed at the end of `run`."""
        self.journal = Journal()
        self._link = _NotingLink(link, self._note)
        self._topics = topics
        self.steering = Steering(self._link, topics, key, keyring, name="rehearsal")

    def run(self, stop: threading.Event, now: Callable[[], float] = time.monotonic) -> None:
        """Steer until `stop` is set.

        Raises:
            UnreachableError: the broker cannot be reached at the start.
        """
        self.steering.begin()
        self._link.connect()
        try:
            self.steering.watch.reach()
            while not stop.is_set():
                self._take_events()
                self._look(now())
        finally:
            self.steering.watch.close()

    def _take_events(self) -> None:
        try:
            self._take(self._link.events.get(timeout=_WAIT_SECONDS))
            for _ in range(EVENTS_PER_TICK):
                self._take(self._link.events.get_nowait())
        except Empty:
            return

    def _take(self, event: LinkEvent) -> None:
        if self.steering.handle(event) and isinstance(event, Arrived):
            entry = Entry(at=time.monotonic(), kind="heard", topic=event.topic, payload=event.payload)
            self.journal.entries.append(entry)

    def _look(self, now: float) -> None:
        entries, before = self.journal.entries, self.steering.progress
        position = len(entries)
        self.steering.tick(now)
        if self.steering.progress is not before:  # a look replaces it, whatever it comes to
            entries.insert(position, Entry(at=now, kind="looked"))

    def _note(self, topic: str, payload: bytes) -> None:
        if topic.endswith("/desired"):
            entry = Entry(at=time.monotonic(), kind="wrote", topic=topic, payload=payload)
            self.journal.entries.append(entry)


class _NotingLink:
    """A link that tells what is published through it."""

    def __init__(self, link: Link, note: Callable[[str, bytes], None]) -> None:
        self._link = link
        self._note = note

    @property
    def events(self) -> Queue[LinkEvent]:
        return self._link.events

    def connect(self) -> None:
        self._link.connect()

    def subscribe(self, topic_filter: str, *, qos: int = 0) -> None:
        self._link.subscribe(topic_filter, qos=qos)

    def unsubscribe(self, topic_filter: str) -> None:
        self._link.unsubscribe(topic_filter)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        letter: Letter | None = None,
    ) -> None:
        self._note(topic, payload)
        self._link.publish(topic, payload, qos=qos, retain=retain, letter=letter)

    def flush(self, seconds: float) -> bool:
        return self._link.flush(seconds)

    def close(self) -> None:
        self._link.close()
