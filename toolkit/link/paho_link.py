"""A link over MQTT with paho: MQTT 5 first, 3.1.1 when the broker refuses it.

One thread of our own drives paho's client through its external-loop calls and does nothing but move bytes and put
events into the queue. It stops reading while the queue is full (TCP then slows the broker) but never stops writing, so
an owner that waits in `publish` and a full queue cannot block each other. Made by the daemon, the depot and the CLI
from `settings`; what the events mean is decided by their owners.

Longer than 400 lines because paho's loop, its callbacks and our two threads share one state and one lock.
"""

from __future__ import annotations

import logging
import random
import select
import socket
import ssl
import threading
import time
from dataclasses import replace
from itertools import count
from queue import Queue
from typing import TYPE_CHECKING

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from toolkit.link.fast_lane import FastLane, Take
from toolkit.link.filters import plain_filter, takes
from toolkit.link.ledger import Ledger, Sent
from toolkit.link.limits import MAX_PACKET_BYTES, check_payload
from toolkit.link.link import MAX_QUEUED_EVENTS, Arrived, Connected, Disconnected, LastWill, Letter, LinkEvent
from toolkit.link.settings import LinkSettings
from toolkit.link.tls import tls_context

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike  # exists for type checkers only

log = logging.getLogger(__name__)

V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
_TICK_SECONDS = 1.0
_FULL_TICK_SECONDS = 0.01
_ANSWER_TICK_SECONDS = 0.25
"""The same while an answer is awaited, and the most that one round counts against it: a machine that stood still for
three seconds has not waited for three seconds, and may have the answer in its hands."""
_GOODBYE_SECONDS = 2.0
_HELLO_SECONDS = 4.0
"""How long a broker may think about MQTT 5 before 3.1.1 gets its try; some never answer a greeting they cannot read."""
_FIRST_FAILURE_CODE = 0x80
_FIRST_LANE_NUMBER = 1 << 20
"""paho's own numbers end at 65,535."""


class _Client(Client):
    """paho's client on a `FastLane`. Were paho to call its maker of sockets by another name, `lane` would stay None."""

    lane: FastLane | None = None
    take: Take

    def _create_socket(self) -> SocketLike:
        self.lane = FastLane(super()._create_socket(), self.take)  # type: ignore[arg-type]
        self.lane.speak(v5=self.protocol == V5)
        return self.lane  # type: ignore[return-value]


class PahoLink:
    """A connection to an MQTT broker; see `toolkit.link.link.Link` for what each call promises."""

    def __init__(self, settings: LinkSettings, *, will: LastWill | None = None) -> None:
        """Prepare a link; nothing happens before `connect`.

        Args:
            settings: where the broker is, and how to log in.
            will: what the broker shall publish, retained and at QoS 1, when we vanish.
        """
        self._settings = settings
        self._will = will
        self._events: Queue[LinkEvent] = Queue()
        self._lock = threading.Lock()
        self._filters: dict[str, int] = {}
        self._ledger = Ledger()
        self._closing = threading.Event()
        self._waker: tuple[socket.socket, socket.socket] | None = None
        self._woken = False
        self._protocol = V5
        self._tls: ssl.SSLContext | None = None
        self._client: _Client | None = None
        self._lane: FastLane | None = None
        self._numbers = count(_FIRST_LANE_NUMBER)
        self._thread: threading.Thread | None = None
        self._accepted = False
        self._awaited: set[int] = set()
        self._reason = ""
        self._refused_version = False
        self._speaks_v5 = False
        self._guess = False

    @property
    def events(self) -> Queue[LinkEvent]:
        """Events in order of arrival; reading stops at MAX_QUEUED_EVENTS."""
        return self._events

    @property
    def protocol(self) -> str:
        """Give "5" or "3.1.1": what is spoken, or would be tried next."""
        return "5" if self._protocol == V5 else "3.1.1"

    def connect(self) -> None:
        """Begin to connect; `Connected` or `Disconnected` follows. Repeated calls do nothing.

        Raises:
            UnreachableError: a file of the TLS settings cannot be used.
        """
        if self._thread is not None:
            return
        if self._settings.tls is not None:
            self._tls = tls_context(self._settings.tls)
        self._begin_client(V5)
        self._waker = socket.socketpair()
        for end in self._waker:
            end.settimeout(0)
        self._thread = threading.Thread(
            target=self._run, name=f"link-{self._settings.client_id}", daemon=True
        )
        self._thread.start()

    def subscribe(self, topic_filter: str, *, qos: int = 0) -> None:
        """Subscribe now if connected, and at each connection from now on."""
        with self._lock:
            self._filters[topic_filter] = qos
            if self._accepted and self._client is not None:
                self._client.subscribe(self._spoken(topic_filter), qos)
        self._wake()

    def unsubscribe(self, topic_filter: str) -> None:
        """Take a subscription back, now if connected, and from later connections."""
        with self._lock:
            known = self._filters.pop(topic_filter, None) is not None
            if known and self._accepted and self._client is not None:
                self._client.unsubscribe(self._spoken(topic_filter))
        self._wake()

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        letter: Letter | None = None,
    ) -> None:
        """Hand a message to the network thread; waits while more than the preset's `max_unsent_bytes` are unsent.

        Without a connection QoS 0 is dropped and QoS 1 is kept until there is one.

        Raises:
            TiersError: the payload is larger than the broker's preset allows.
        """
        check_payload(self._settings, topic, payload, retain=retain)
        if self._accepted:
            self._wait_for_room()
        with self._lock:
            if self._accepted or qos:
                hand_over = self._hand_over if self._client is not None else None
                self._ledger.send(Sent(topic, payload, qos, retain, letter), hand_over)
        self._wake()

    def flush(self, seconds: float) -> bool:
        """Wait until all QoS 1 messages are acknowledged and all others are written; False if that took longer."""
        deadline = time.monotonic() + seconds
        while not self._ledger.wait(lambda messages, _: not messages, deadline - time.monotonic()):
            if self._thread is None or time.monotonic() > deadline:
                return False
        return True

    def close(self) -> None:
        """Disconnect in good order and end the thread. Repeated calls do nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake()
        if self._thread is not None:
            self._thread.join(self._settings.connect_seconds + _GOODBYE_SECONDS + _TICK_SECONDS)
            if self._waker is not None and not self._thread.is_alive():
                for end in self._waker:
                    end.close()

    # ------------------------------------------------------------ the owner's side
    def _wait_for_room(self) -> None:
        most = self._settings.preset.max_unsent_bytes
        while not self._ledger.wait(lambda _, size: size < most, _TICK_SECONDS):
            if self._closing.is_set() or not self._accepted:
                return

    def _hand_over(self, sent: Sent) -> int:
        """Hand a message to the lane or to paho; give the number under which it will be reported."""
        client = self._client
        assert client is not None  # noqa: S101  # made by `connect`, and none is sent before
        if sent.qos or sent.retain or sent.letter or self._lane is None:
            stamped = _stamp(sent.letter) if sent.letter is not None and self._protocol == V5 else None
            return client.publish(sent.topic, sent.payload, sent.qos, sent.retain, stamped).mid
        number = next(self._numbers)
        self._lane.send_later(number, sent.topic, sent.payload)
        return number

    def _wake(self) -> None:
        if self._waker is None or self._woken:
            return
        self._woken = True
        try:
            self._waker[0].send(b"\0")
        except OSError:
            return  # full means that a wake-up is on its way; closed means that nobody sleeps any more

    def _spoken(self, topic_filter: str) -> str:
        shares = self._protocol == V5 and self._settings.preset.shared_subscriptions
        return topic_filter if shares else plain_filter(topic_filter)

    # ------------------------------------------------------------ the network thread
    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            was_accepted = self._attempt()
            if self._closing.is_set():
                return
            failures = 0 if was_accepted else failures + 1
            if self._choose_protocol():
                continue
            if self._events.qsize() < MAX_QUEUED_EVENTS:
                self._events.put(Disconnected(self._reason))
            # Full jitter, so that a fleet does not come back in one wave after its broker did.
            longest = self._settings.retry_first_seconds * 2 ** min(failures, 16)
            longest = min(longest, self._settings.retry_longest_seconds)
            self._closing.wait(random.uniform(0, longest))  # noqa: S311  # a pause is no secret

    def _choose_protocol(self) -> bool:
        """Change to 3.1.1 for good if the broker said so, for one try if it hung up; tell whether it changed."""
        if self._protocol == V5 and (self._refused_version or self._guess):
            self._begin_client(V311)
            return True
        if self._protocol == V311 and self._guess:
            self._guess = False
            self._begin_client(V5)
        return False

    def _attempt(self) -> bool:
        """Connect and serve until the connection is gone; tell whether the broker had accepted us."""
        with self._lock:
            client = self._client
        assert client is not None  # noqa: S101  # made by `_begin_client`
        self._reason = ""
        settings = self._settings
        accepted = False
        try:
            # No properties before a broker has shown that it speaks MQTT 5: those that know only 3.1.1 then read far
            # enough to say so.
            known = self._speaks_v5 and self._protocol == V5
            limits = _connect_properties(settings.preset.max_unacknowledged) if known else None
            client.connect(settings.host, settings.port, settings.preset.keepalive_seconds, properties=limits)
            self._serve(client)
        except (OSError, ValueError) as error:
            self._reason = self._reason or f"{settings.address}: {error}"
        else:
            self._reason = self._reason or f"{settings.address}: the broker closed the connection"
        finally:
            with self._lock:
                accepted, self._accepted = self._accepted, False
                self._lane = None
            sock = client.socket()
            if sock is not None:
                sock.close()
            self._ledger.drop_unsure()
        return accepted

    def _serve(self, client: _Client) -> None:
        patience = self._settings.connect_seconds
        left = min(patience, _HELLO_SECONDS) if self._protocol == V5 else patience
        round_began = time.monotonic()
        saying_goodbye = False
        result = MQTTErrorCode.MQTT_ERR_SUCCESS
        while result == MQTTErrorCode.MQTT_ERR_SUCCESS:
            sock = client.socket()
            if sock is None:
                return
            if self._closing.is_set() and not saying_goodbye:
                saying_goodbye, left = True, _GOODBYE_SECONDS
                client.disconnect()
            if saying_goodbye and not (client.want_write() or (client.lane and client.lane.wants_write)):
                return
            waiting_for_answer = saying_goodbye or not self._accepted
            if waiting_for_answer and left <= 0:
                self._note_silence()
                return
            tick = min(_ANSWER_TICK_SECONDS, left) if waiting_for_answer else _TICK_SECONDS
            lane = client.lane
            want_write = client.want_write() or (lane is not None and lane.wants_write)
            readable, writable = self._poll(sock, tick, want_write=want_write)
            if writable:
                result = self._write(client, lane)
            if readable and result == MQTTErrorCode.MQTT_ERR_SUCCESS:
                result = self._read(client, lane)
            if result == MQTTErrorCode.MQTT_ERR_SUCCESS:
                result = client.loop_misc()
            now = time.monotonic()
            left -= min(now - round_began, _ANSWER_TICK_SECONDS)
            round_began = now

    def _write(self, client: _Client, lane: FastLane | None) -> MQTTErrorCode:
        """Write paho's packets first, as they are small and others wait for them; never inside of one of the lane's."""
        if client.want_write() and not (lane is not None and lane.inside_packet):
            return client.loop_write()
        for number in lane.write() if lane is not None else ():
            self._ledger.confirm(number)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _read(self, client: _Client, lane: FastLane | None) -> MQTTErrorCode:
        if lane is None:
            return client.loop_read()
        if not lane.unread:
            lane.read()
        lane.deliver(MAX_QUEUED_EVENTS - self._events.qsize())
        result = MQTTErrorCode.MQTT_ERR_SUCCESS
        while lane.paho_has_work and result == MQTTErrorCode.MQTT_ERR_SUCCESS and client.socket() is not None:
            result = client.loop_read()
        return result

    def _poll(self, sock: SocketLike, tick: float, *, want_write: bool) -> tuple[bool, bool]:
        full = self._events.qsize() >= MAX_QUEUED_EVENTS
        unread = isinstance(sock, FastLane) and (sock.unread or sock.pending() > 0)
        assert self._waker is not None  # noqa: S101  # made by `connect`
        waker = self._waker[1]
        poller = select.poll()
        poller.register(waker, select.POLLIN)
        poller.register(sock, (0 if full else select.POLLIN) | (select.POLLOUT if want_write else 0))
        seconds = _FULL_TICK_SECONDS if full else 0 if unread else tick
        ready = dict(poller.poll(seconds * 1000))
        if waker.fileno() in ready:
            waker.recv(4096)
            self._woken = False  # after it: what was queued without waking us is seen in the next round
        what = ready.get(sock.fileno(), 0)
        broken = select.POLLERR | select.POLLHUP
        return (
            not full and (unread or bool(what & (select.POLLIN | broken))),
            bool(what & (select.POLLOUT | broken)),
        )

    def _note_silence(self) -> None:
        if not self._accepted:
            self._guess = self._protocol == V5 or self._guess
            self._reason = f"{self._settings.address} takes the connection but does not speak MQTT"

    def _begin_client(self, protocol: MQTTProtocolVersion) -> None:
        with self._lock:
            self._protocol = protocol
            self._client = self._new_client()
            self._ledger.resend(self._hand_over)

    def _new_client(self) -> _Client:
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._settings.client_id,
            clean_session=None if self._protocol == V5 else True,
            protocol=self._protocol,
            reconnect_on_failure=False,
        )
        client.take = self._arrived
        client.connect_timeout = self._settings.connect_seconds
        client.max_inflight_messages_set(self._settings.preset.max_unacknowledged)
        if self._settings.username:
            client.username_pw_set(self._settings.username, self._settings.password or None)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        # With this set, paho leaves all writing to the thread that calls loop_write.
        client.on_socket_register_write = _leave_it_to_the_loop
        return client

    # ------------------------------------------------------------ paho's callbacks, in the network thread
    def _on_connect(
        self,
        client: Client,
        _data: object,
        _flags: ConnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if code.is_failure:
            self._reason = f"{self._settings.address} refuses us: {code}"
            self._refused_version = "protocol version" in str(code).lower()
            return
        self._speaks_v5 = self._protocol == V5
        with self._lock:
            self._accepted = True
            self._lane = self._client.lane if self._client is not None else None
            self._awaited = set()
            for topic_filter, qos in self._filters.items():
                _, mid = client.subscribe(self._spoken(topic_filter), qos)
                if mid is not None:
                    self._awaited.add(mid)
        if not self._awaited:
            self._events.put(Connected())

    def _on_subscribe(
        self, client: Client, _data: object, mid: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        refused = [str(code) for code in codes if code.value >= _FIRST_FAILURE_CODE]
        if refused:
            self._reason = (
                f"{self._settings.address} refuses a subscription: {refused[0]}; look at its access rules"
            )
            client.disconnect()
        elif mid in self._awaited:
            self._awaited.discard(mid)
            if not self._awaited:
                self._events.put(Connected())

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # no topic of ours; whoever sent it breaks MQTT's own rules
        self._arrived(topic, bytes(message.payload), message.retain, _read_letter(message))

    def _arrived(
        self,
        topic: str,
        payload: bytes,
        retained: bool,  # noqa: FBT001  # a callback
        letter: Letter | None = None,
    ) -> None:
        # Some brokers (amqtt 0.12) send a client what was retained for others; and no broker is trusted.
        if any(takes(wanted, topic) for wanted in tuple(self._filters)):
            self._events.put(Arrived(topic, payload, retained, letter))

    def _on_publish(
        self, _client: Client, _data: object, mid: int, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if code.is_failure:
            log.warning("%s refuses message %d: %s", self._settings.address, mid, code)
        self._ledger.confirm(mid)

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        _flags: DisconnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if not self._accepted and not self._reason and not self._closing.is_set():
            # Some brokers hang up on MQTT 5 without a word; the other version is worth one try.
            self._guess = self._protocol == V5 or self._guess
        if not self._reason:
            self._reason = f"{self._settings.address}: connection lost ({code})"


def _connect_properties(most_unacknowledged: int) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.ReceiveMaximum = most_unacknowledged
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    return properties


def _stamp(letter: Letter) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if letter.reply_to:
        properties.ResponseTopic = letter.reply_to
    if letter.correlation:
        properties.CorrelationData = letter.correlation
    if letter.expiry_seconds is not None:
        properties.MessageExpiryInterval = letter.expiry_seconds
    if letter.words:
        properties.UserProperty = list(letter.words)
    return properties


def _read_letter(message: MQTTMessage) -> Letter | None:
    properties = message.properties
    if properties is None:
        return None
    letter = Letter(
        getattr(properties, "ResponseTopic", ""),
        getattr(properties, "CorrelationData", b""),
        words=tuple(getattr(properties, "UserProperty", ())),
    )
    if letter == Letter():
        return None
    return replace(letter, expiry_seconds=getattr(properties, "MessageExpiryInterval", None))


def _leave_it_to_the_loop(_client: Client, _data: object, _sock: object) -> None:
    """Exist, so that paho does not write in the thread of whoever publishes."""
