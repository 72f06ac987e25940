"""A broker and links inside one process: the same promises as `paho_link`, for tests and simulations without a network.

It keeps MQTT's rules that the protocol stands on: wildcards, retained messages, shared subscriptions, last wills. The
contract suite tests/contracts/link.py runs over this and over real brokers.
"""

from __future__ import annotations

import threading
from collections import deque
from queue import Queue

from toolkit.link.filters import matches, plain_filter, share_group
from toolkit.link.link import Arrived, Connected, Disconnected, LastWill, Letter, LinkEvent


class MemoryBroker:
    """Hands messages from link to link. `cut` takes the connection from all links, `restore` gives it back."""

    def __init__(self) -> None:
        """Begin with no retained message and nobody connected."""
        self._lock = threading.RLock()
        self._retained: dict[str, bytes] = {}
        self._links: list[MemoryLink] = []
        self._turns: dict[str, int] = {}
        self._up = True

    def cut(self) -> None:
        """Lose all connections; each last will is published. Nobody gets in until `restore`."""
        with self._lock:
            self._up = False
            for link in [link for link in self._links if link.online]:
                self._lose(link, "the broker went away")

    def restore(self) -> None:
        """Let everybody in again; links that were connecting are connected now."""
        with self._lock:
            self._up = True
            for link in list(self._links):
                self._accept(link)

    def forget(self) -> None:
        """Lose all that is retained, as a broker without a disk does when it starts anew."""
        with self._lock:
            self._retained.clear()

    def kill(self, link: MemoryLink) -> None:
        """Make one client vanish without a goodbye: its last will is published and it does not come back."""
        with self._lock:
            if link in self._links:
                self._links.remove(link)
                self._lose(link, "the client vanished")

    def join(self, link: MemoryLink) -> None:
        """Connect a link; it learns the outcome by an event."""
        with self._lock:
            self._links.append(link)
            if self._up:
                self._accept(link)
            else:
                link.events.put(Disconnected("the broker is away"))

    def leave(self, link: MemoryLink) -> None:
        """Disconnect a link in good order."""
        with self._lock:
            if link in self._links:
                self._links.remove(link)
            link.online = False

    def send_retained(self, link: MemoryLink, topic_filter: str) -> None:
        """Give a new subscriber what is retained; a shared subscription gets nothing, as MQTT 5 (4.8.2) says."""
        with self._lock:
            if share_group(topic_filter):
                return
            for topic, payload in sorted(self._retained.items()):
                if matches(topic_filter, topic):
                    link.events.put(Arrived(topic, payload, retained=True))

    def route(self, topic: str, payload: bytes, *, retain: bool, letter: Letter | None = None) -> None:
        """Keep a retained message and hand it to everybody who subscribed."""
        with self._lock:
            if retain and payload:
                self._retained[topic] = payload
            elif retain:
                self._retained.pop(topic, None)
            groups: dict[str, list[MemoryLink]] = {}
            for link in [link for link in self._links if link.online]:
                wanted = [each for each in link.filters if matches(plain_filter(each), topic)]
                if any(not share_group(each) for each in wanted):
                    link.events.put(Arrived(topic, payload, letter=letter))
                for each in wanted:
                    if share_group(each):
                        groups.setdefault(each, []).append(link)
            for group, members in groups.items():
                turn = self._turns[group] = self._turns.get(group, -1) + 1
                members[turn % len(members)].events.put(Arrived(topic, payload, letter=letter))

    def _accept(self, link: MemoryLink) -> None:
        if link.online:
            return
        link.online = True
        for topic_filter in link.filters:
            self.send_retained(link, topic_filter)
        link.events.put(Connected())
        while link.waiting:
            topic, payload, retain, letter = link.waiting.popleft()
            self.route(topic, payload, retain=retain, letter=letter)

    def _lose(self, link: MemoryLink, reason: str) -> None:
        link.online = False
        link.events.put(Disconnected(reason))
        if link.will is not None:
            self.route(link.will.topic, link.will.payload, retain=True)


class MemoryLink:
    """A link to a `MemoryBroker`; see `toolkit.link.link.Link` for what each call promises."""

    def __init__(self, broker: MemoryBroker, *, will: LastWill | None = None) -> None:
        """Prepare a link; nothing happens before `connect`."""
        self._broker = broker
        self.will = will
        self.online = False
        self.filters: list[str] = []
        self.waiting: deque[tuple[str, bytes, bool, Letter | None]] = deque()
        # Unbounded: whoever publishes is the one who would have to wait, and in one thread that would be for ever.
        self._events: Queue[LinkEvent] = Queue()

    @property
    def events(self) -> Queue[LinkEvent]:
        """Events in order of arrival."""
        return self._events

    def connect(self) -> None:
        """Join the broker."""
        self._broker.join(self)

    def subscribe(self, topic_filter: str, *, qos: int = 0) -> None:  # noqa: ARG002  # nothing is lost in memory
        """Subscribe now and at each connection."""
        if topic_filter not in self.filters:
            self.filters.append(topic_filter)
        if self.online:
            self._broker.send_retained(self, topic_filter)

    def unsubscribe(self, topic_filter: str) -> None:
        """Take a subscription back."""
        if topic_filter in self.filters:
            self.filters.remove(topic_filter)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        letter: Letter | None = None,
    ) -> None:
        """Publish now, or (QoS 1) as soon as there is a connection."""
        if self.online:
            self._broker.route(topic, payload, retain=retain, letter=letter)
        elif qos:
            self.waiting.append((topic, payload, retain, letter))

    def flush(self, seconds: float) -> bool:  # noqa: ARG002  # nothing is ever on its way
        """Tell whether everything has been handed over."""
        return not self.waiting

    def close(self) -> None:
        """Leave the broker; the last will is not sent."""
        self._broker.leave(self)
