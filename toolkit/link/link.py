"""What a link is: five calls and a queue of events. Implemented by `paho_link` (MQTT) and `memory_link` (tests).

A link owns its network thread, and that thread does nothing but put events into the queue; whoever made the link takes
them out one by one, so all decisions stay in one thread. A link reconnects by itself and subscribes again; its owner
sees `Disconnected` and later `Connected`.
"""

from __future__ import annotations

from dataclasses import dataclass
from queue import Queue
from typing import Protocol

MAX_QUEUED_EVENTS = 256
"""The queue is bounded: a slow owner slows the network thread, TCP slows the broker, and memory stays small."""


@dataclass(frozen=True)
class Connected:
    """The broker has accepted us and the subscriptions stand; on each reconnection again."""


@dataclass(frozen=True)
class Disconnected:
    """The connection was lost or refused; the link keeps trying."""

    reason: str


@dataclass(frozen=True)
class Arrived:
    """A message came. An empty payload on a retained topic means that the topic was cleared."""

    topic: str
    payload: bytes
    retained: bool = False


LinkEvent = Connected | Disconnected | Arrived


@dataclass(frozen=True)
class LastWill:
    """What the broker shall publish, retained, when we vanish."""

    topic: str
    payload: bytes


class Link(Protocol):
    """A connection to a broker."""

    @property
    def events(self) -> Queue[LinkEvent]:
        """Events in order of arrival, at most MAX_QUEUED_EVENTS."""

    def connect(self) -> None:
        """Begin to connect and return at once; `Connected` follows, or `Disconnected` with the reason.

        Raises:
            UnreachableError: the settings can never work (an unreadable certificate, say).
        """

    def subscribe(self, topic_filter: str, *, qos: int = 0) -> None:
        """Subscribe now if connected, and at each connection from now on.

        `$share/GROUP/FILTER` shares the messages among a group; a broker that cannot do so gets the plain filter.
        """

    def unsubscribe(self, topic_filter: str) -> None:
        """Hear a subscribed topic no more; what is on its way still comes. One that is not subscribed is no error."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Hand a message to the network thread. QoS 1 is repeated until acknowledged; QoS 0 may be lost."""

    def flush(self, seconds: float) -> bool:
        """Wait until all QoS 1 messages are acknowledged; False if that took longer."""

    def close(self) -> None:
        """Disconnect in good order (the last will is not sent) and end the thread. Repeated calls do nothing."""
