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
class Letter:
    """What stands on a message that wants an answer, and on the answer (MQTT 5.0, 3.3.2.3 and 4.10).

    MQTT 3.1.1 has none of it: there a message arrives without. Whoever wrote it is not trusted.
    """

    reply_to: str = ""
    """Topic on which the answer is awaited."""
    correlation: bytes = b""
    """Given back with the answer, as it came."""
    expiry_seconds: int | None = None
    """After so many seconds nobody needs it any more; the broker counts down what it held it back."""
    words: tuple[tuple[str, str], ...] = ()
    """User properties, in order."""


@dataclass(frozen=True)
class Arrived:
    """A message came. An empty payload on a retained topic means that the topic was cleared."""

    topic: str
    payload: bytes
    retained: bool = False
    letter: Letter | None = None
    """None for a message that names no topic for an answer, no correlation and no words."""


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

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        letter: Letter | None = None,
    ) -> None:
        """Hand a message to the network thread. QoS 1 is repeated until acknowledged; QoS 0 may be lost.

        A `letter` goes with it where MQTT 5 is spoken, and is left out elsewhere.
        """

    def flush(self, seconds: float) -> bool:
        """Wait until all QoS 1 messages are acknowledged; False if that took longer."""

    def close(self) -> None:
        """Disconnect in good order (the last will is not sent) and end the thread. Repeated calls do nothing."""
