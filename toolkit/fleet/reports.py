"""Watch a site over a link: subscribe, collect what is retained, and know when all of it has come.

MQTT does not say when the last retained message has been delivered. So after the subscriptions stand, a client
publishes a number to a topic of its own (`e/CLIENT`) and waits until it comes back. Brokers that deliver in order
(Mosquitto, amqtt) hand it over after the retained documents; for those that send them from a process aside (EMQX,
AWS IoT Core) it also waits until no retained document has come for QUIET_SECONDS. Both again at each reconnection.
Used by `steer`, `rollout` and `status`; what the documents are worth is decided in `retained`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from queue import Empty

from toolkit.errors import UnreachableError
from toolkit.fleet.retained import Kind, Retained
from toolkit.link.link import Arrived, Connected, Disconnected, Link, LinkEvent
from toolkit.wire.keyring import Keyring
from toolkit.wire.topics import Topics

log = logging.getLogger(__name__)

QUIET_SECONDS = 0.25
"""How long no retained document may have come before the collection counts as whole."""
CONNECT_SECONDS = 5.0
"""How long a broker may take to let us in before a command says that there is none."""
SLOW_SECONDS = 20.0
"""How much longer, when nothing has gone wrong by then: it, or this machine, is busy."""
SETTLE_SECONDS = 30.0
"""How long it may then take to hand over all that is retained."""
_STEP_SECONDS = 0.05
_GOODBYE_SECONDS = 2.0


class Watch:
    """What a site says, kept up to date by the events of a link. For one thread."""

    def __init__(
        self,
        link: Link,
        topics: Topics,
        keyring: Keyring | None,
        *,
        name: str,
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        """Prepare; nothing is subscribed before `begin`.

        Args:
            link: whose events are handed to `handle`, or taken by `settle` and `wait_for`.
            topics: of the site.
            keyring: whose seals hold; None takes every seal, for looking only.
            name: of this client, in the site's words for a name; no two at once.
            quiet_seconds: how long no retained document may have come; 0 relies on the echo alone.
        """
        self.link = link
        self.topics = topics
        self.retained = Retained(topics, keyring)
        self.reached = False
        """The broker has let us in once."""
        self.problem = ""
        """Why there is no connection, when there is none."""
        self._echo_topic = topics.echo(name)
        self._echo_number = 0
        self._echoed = False
        self._noise = False
        self._quiet_since = 0.0
        self._quiet_seconds = quiet_seconds

    def begin(self, *, connected: bool = False) -> None:
        """Subscribe to all that a site says. `connected`: the link is up already, and nobody will say so again."""
        for topic in (
            self.topics.state("+"),
            self.topics.presence("+"),
            self.topics.desired("+"),
            self.topics.rollout("+"),
            self.topics.course("+"),
            self._echo_topic,
        ):
            self.link.subscribe(topic, qos=1)
        if connected:
            self._call()

    def handle(self, event: LinkEvent) -> Kind | None:
        """Take an event of the link and say what it was about; None when it is nothing that we collect."""
        if isinstance(event, Connected):
            self.reached, self.problem = True, ""
            self._call()
        elif isinstance(event, Disconnected):
            log.info("no connection: %s", event.reason)
            self.problem = event.reason
            self._echoed = False
            self.retained.expect_all()
        elif event.topic == self._echo_topic:
            if event.payload == b"%d" % self._echo_number:
                self._echoed = self._noise = True
        else:
            return self._arrived(event)
        return None

    def settled(self, now: float) -> bool:
        """Say whether all that is retained has come; `now` is in seconds of a clock that only grows."""
        if self._noise:
            self._quiet_since, self._noise = now, False
        settled = self._echoed and now - self._quiet_since >= self._quiet_seconds
        if settled:
            self.retained.forget_unseen()
        return settled

    def reach(self, seconds: float = CONNECT_SECONDS, *, address: str = "the broker") -> None:
        """Take the link's events until the broker has let us in.

        Args:
            seconds: how long that may take, all attempts together; a broker or a machine that is so slow that nothing
                has gone wrong by then gets SLOW_SECONDS more.
            address: how to name the broker in an error.

        Raises:
            UnreachableError: it took longer.
        """
        self.wait_for(lambda: self.reached, seconds)
        if not self.reached and not self.problem:
            self.wait_for(lambda: self.reached or bool(self.problem), SLOW_SECONDS)
        if not self.reached:
            reason = self.problem or f"no answer within {seconds + SLOW_SECONDS:.0f} s"
            raise UnreachableError(
                f"{address} cannot be reached: {reason}",
                hint="start it, or name another one with --broker mqtts://HOST:PORT",
            )

    def settle(self, seconds: float = SETTLE_SECONDS, *, address: str = "the broker") -> None:
        """Take the link's events until all that is retained has come. Arguments and errors as in `reach`."""
        if not self.wait_for(lambda: self.settled(time.monotonic()), seconds):
            reason = self.problem or f"it let us in, but {self._echo_topic} did not come back to us"
            raise UnreachableError(
                f"{address} has not handed over what it retains within {seconds:.0f} s: {reason}",
                hint="let this client publish and subscribe to its topics (access rules of the broker), then try again",
            )

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Take the link's events until a condition holds; False if that took longer and what has come is not enough."""
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return self._holds_by_what_has_come(condition)
            try:
                self.handle(self.link.events.get(timeout=min(left, _STEP_SECONDS)))
            except Empty:
                continue
        return True

    def close(self) -> None:
        """Hand over what is on its way and close the link."""
        self.link.flush(_GOODBYE_SECONDS)
        self.link.close()

    def _holds_by_what_has_come(self, condition: Callable[[], bool]) -> bool:
        """Take what waits already: a machine that stood still until the deadline may have the answer in its hands."""
        for _ in range(self.link.events.qsize()):
            self.handle(self.link.events.get_nowait())
            if condition():
                return True
        return False

    def _call(self) -> None:
        self._echo_number += 1
        self._echoed = False
        self.link.publish(self._echo_topic, b"%d" % self._echo_number, qos=1)

    def _arrived(self, event: Arrived) -> Kind | None:
        kind = self.retained.take(event.topic, event.payload)
        if kind is not None and event.retained:
            self._noise = True
        return kind


def open_watch(
    link: Link,
    topics: Topics,
    keyring: Keyring | None,
    *,
    name: str,
    address: str,
    quiet_seconds: float = QUIET_SECONDS,
) -> Watch:
    """Connect a link of one's own and collect what a site says; `close` the watch when done.

    Raises:
        UnreachableError: the broker does not let us in within CONNECT_SECONDS, or does not hand over what it retains.
    """
    watch = Watch(link, topics, keyring, name=name, quiet_seconds=quiet_seconds)
    watch.begin()
    link.connect()
    try:
        watch.reach(address=address)
        watch.settle(address=address)
    except UnreachableError:
        link.close()
        raise
    return watch
