"""How calls and messages reach the control thread, and how the device's messages leave: `Inbox` and `Line`.

`daemon` makes the inbox, `back` the line; `control` takes calls out of the inbox and lets the line tell the fleet what
it decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from queue import Empty, Queue, SimpleQueue
from typing import Final

from toolkit.errors import TiersError
from toolkit.link.filters import takes
from toolkit.link.link import Arrived, Letter, Link, LinkEvent
from toolkit.wire.digest import Digest
from toolkit.wire.document import encode_json
from toolkit.wire.report import Presence
from toolkit.wire.topics import Topics

log = logging.getLogger(__name__)
GOODBYE_SECONDS: Final = 2.0


class Inbox:
    """Calls that wait for the control thread. Any thread may `post`."""

    def __init__(self) -> None:
        """Begin empty."""
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def post(self, call: Callable[[], None]) -> None:
        """Hand a call over."""
        self._calls.put(call)

    def take(self, seconds: float) -> Callable[[], None] | None:
        """Give the next call, or None after so many seconds."""
        try:
            return self._calls.get(timeout=seconds)
        except Empty:
            return None


class Line:
    """The device's end of the link: what it publishes and subscribes. It works the same without a link."""

    def __init__(self, device: str, topics: Topics, open_link: Callable[[], Link]) -> None:
        """Prepare; `open_link` makes a link that has not been connected."""
        self._device = device
        self._topics = topics
        self._open_link = open_link
        self._wanted: set[Digest] = set()
        self._streams: set[str] = set()
        self._plans: set[str] = set()
        self._ears: dict[str, Callable[[Arrived], None]] = {}
        self.link: Link | None = None

    def open(self) -> Queue[LinkEvent] | None:
        """Make the link and begin to connect; None (and a line in the log) if its settings cannot work."""
        try:
            link = self._open_link()
            link.subscribe(self._topics.desired(self._device), qos=1)
            link.subscribe(self._topics.data(self._device))
            link.subscribe(self._topics.records_answer(self._device))
            for artifact in sorted(self._wanted):
                link.subscribe(self._topics.manifest(artifact), qos=1)
            for topic in sorted(self._streams):
                link.subscribe(topic)
            for topic in (*self._ears, *sorted(self._plans)):
                link.subscribe(topic, qos=1)
            link.connect()
        except TiersError as error:
            log.error("no link: %s; %s", error.message, error.hint)  # noqa: TRY400 -- explained, not a fault
            return None
        self.link = link
        return link.events

    def hear(self, topic_filter: str, ear: Callable[[Arrived], None]) -> None:
        """Let somebody else than control have these messages, from the next `open` on."""
        self._ears[topic_filter] = ear

    def ear(self, topic: str) -> Callable[[Arrived], None] | None:
        """Give who has the messages of a topic; None for control."""
        return next((ear for wanted, ear in self._ears.items() if takes(wanted, topic)), None)

    def want_desired(self) -> None:
        """Ask the broker once more for what this device shall run."""
        if self.link is not None:
            self.link.subscribe(self._topics.desired(self._device), qos=1)

    def want_manifest(self, artifact: Digest) -> None:
        """Ask the broker for an artifact's manifest, now or as soon as there is a link."""
        self._wanted.add(artifact)
        if self.link is not None:
            self.link.subscribe(self._topics.manifest(artifact), qos=1)

    def listen(self, artifact: Digest, wanted: bool) -> None:  # noqa: FBT001 -- a callback
        """Hear the stream of an artifact, now or as soon as there is a link, or hear it no more."""
        topic = self._topics.stream(artifact)
        (self._streams.add if wanted else self._streams.discard)(topic)
        if self.link is not None:
            (self.link.subscribe if wanted else self.link.unsubscribe)(topic)

    def hear_plan(self, artifact: str, machine: str, wanted: bool) -> None:  # noqa: FBT001 -- a callback
        """Hear who announces a plan of an artifact for machines of a key, or hear it no more."""
        topic = self._topics.plan(artifact, machine)
        (self._plans.add if wanted else self._plans.discard)(topic)
        if self.link is not None and wanted:
            self.link.subscribe(topic, qos=1)
        elif self.link is not None:
            self.link.unsubscribe(topic)

    def request(self, payload: bytes) -> None:
        """Ask the depot."""
        if self.link is not None:
            self.link.publish(self._topics.request(self._device), payload)

    def records(self, payload: bytes) -> None:
        """Bring records that were put down."""
        if self.link is not None:
            self.link.publish(self._topics.records(self._device), payload)

    def answer(self, topic: str, payload: bytes, letter: Letter) -> None:
        """Answer a question; lost without a connection, like whoever asked."""
        if self.link is not None:
            self.link.publish(topic, payload, letter=letter)

    def report(self, payload: bytes) -> None:
        """Say where the device stands."""
        if self.link is not None:
            self.link.publish(self._topics.state(self._device), payload, qos=1, retain=True)

    def present(self, state: Presence) -> None:
        """Say whether the device is there."""
        if self.link is not None:
            topic = self._topics.presence(self._device)
            self.link.publish(topic, encode_json(state), qos=1, retain=True)

    def close(self) -> None:
        """Say goodbye and close the link."""
        if self.link is not None:
            self.present(Presence(device=self._device, state="offline"))
            self.link.flush(GOODBYE_SECONDS)
            self.link.close()
