"""A link over MQTT 5 with awscrt, whose network loop is native code: the extra `awscrt`, for fast links and small CPUs.

awscrt calls us in its network thread, which only puts events into the queue. While the queue is full that thread waits,
so TCP slows the broker; it goes on as soon as the owner waits in `publish` or `flush`, so the two cannot block each
other, and once in a while in any case, so that the broker still hears from us. A broker that speaks only MQTT 3.1.1 is
told by name: `paho_link` speaks that. Chosen by `choose`; what the events mean is decided by their owners.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from queue import Queue
from typing import TYPE_CHECKING, Final

from awscrt import mqtt5
from awscrt.io import (
    ClientBootstrap,
    ClientTlsContext,
    DefaultHostResolver,
    EventLoopGroup,
    ExponentialBackoffJitterMode,
    SocketOptions,
    TlsContextOptions,
    TlsVersion,
)

from toolkit.errors import UnreachableError
from toolkit.link.filters import plain_filter, takes
from toolkit.link.ledger import Ledger, Sent
from toolkit.link.limits import MAX_PACKET_BYTES, STALE_SECONDS, check_payload
from toolkit.link.link import MAX_QUEUED_EVENTS, Arrived, Connected, Disconnected, LastWill, Letter, LinkEvent
from toolkit.link.settings import LinkSettings, TlsSettings
from toolkit.link.tls import tls_context

if TYPE_CHECKING:
    from concurrent.futures import Future

log = logging.getLogger(__name__)

_FULL_TICK_SECONDS: Final = 0.01
_TICK_SECONDS: Final = 1.0
_GOODBYE_SECONDS: Final = 2.0
_FIRST_FAILURE_CODE: Final = 0x80
_NEVER_SECONDS: Final = 7 * 24 * 3600
"""awscrt gives up an unacknowledged message after 60 s; ours are repeated until they are acknowledged."""
_OLD_BROKER: Final = ("MQTT5_DECODE_PROTOCOL_ERROR", "UNSUPPORTED_PROTOCOL_VERSION", "CONNACK_TIMEOUT")


class AwscrtLink:
    """A connection to an MQTT 5 broker; see `toolkit.link.link.Link` for what each call promises."""

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
        self._numbers = count(1)
        self._closing = threading.Event()
        self._stopped = threading.Event()
        self._client: mqtt5.Client | None = None
        self._accepted = False
        self._awaited = 0
        self._connection = 0
        self._reason = ""
        self._owners_waiting = 0

    @property
    def events(self) -> Queue[LinkEvent]:
        """Events in order of arrival; reading stops at MAX_QUEUED_EVENTS."""
        return self._events

    @property
    def protocol(self) -> str:
        """Give "5": awscrt speaks nothing else here."""
        return "5"

    def connect(self) -> None:
        """Begin to connect; `Connected` or `Disconnected` follows. Repeated calls do nothing.

        Raises:
            UnreachableError: a file of the TLS settings cannot be used.
        """
        if self._client is None:
            # Made outside of the lock: its callbacks take the lock.
            self._client = client = mqtt5.Client(self._options())
            client.start()

    def subscribe(self, topic_filter: str, *, qos: int = 0) -> None:
        """Subscribe now if connected, and at each connection from now on."""
        with self._lock:
            self._filters[topic_filter] = qos
            if self._accepted:
                self._ask_for(topic_filter, qos, awaited=False)

    def unsubscribe(self, topic_filter: str) -> None:
        """Take a subscription back, now if connected, and from later connections."""
        with self._lock:
            known = self._filters.pop(topic_filter, None) is not None
            client = self._client
        if known and self._accepted and client is not None:
            shares = self._settings.preset.shared_subscriptions
            spoken = topic_filter if shares else plain_filter(topic_filter)
            client.unsubscribe(mqtt5.UnsubscribePacket([spoken]))

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
                sent = Sent(topic, payload, qos, retain, letter)
                self._ledger.send(sent, self._send if self._accepted else None)

    def flush(self, seconds: float) -> bool:
        """Wait until all QoS 1 messages are acknowledged and all others are written; False if that took longer."""
        deadline = time.monotonic() + seconds
        with self._owner_waits():
            while not self._ledger.wait(lambda messages, _: not messages, deadline - time.monotonic()):
                if self._client is None or time.monotonic() > deadline:
                    return False
        return True

    def close(self) -> None:
        """Write what is queued, disconnect in good order and end the thread. Repeated calls do nothing."""
        if self._closing.is_set():
            return
        if self._accepted:
            self.flush(_GOODBYE_SECONDS)  # a goodbye overtakes what waits in awscrt's queue
        self._closing.set()
        client, self._client = self._client, None
        if client is not None:
            client.stop(mqtt5.DisconnectPacket())
            self._stopped.wait(_GOODBYE_SECONDS + _TICK_SECONDS)

    # ------------------------------------------------------------ the owner's side
    def _wait_for_room(self) -> None:
        most = self._settings.preset.max_unsent_bytes
        if self._ledger.wait(lambda _, size: size < most, 0):
            return
        with self._owner_waits():
            while not self._ledger.wait(lambda _, size: size < most, _TICK_SECONDS):
                if self._closing.is_set() or not self._accepted:
                    return

    @contextmanager
    def _owner_waits(self) -> Iterator[None]:
        """Let the network thread go on although the queue may be full: it must write what the owner waits for."""
        with self._lock:
            self._owners_waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._owners_waiting -= 1

    def _send(self, sent: Sent) -> int:
        """Hand a message to awscrt and give the number under which the ledger learns what became of it."""
        number = next(self._numbers)
        client = self._client
        if client is None:
            return number
        letter = sent.letter or Letter()
        stale = None if sent.qos or sent.retain else STALE_SECONDS
        packet = mqtt5.PublishPacket(
            topic=sent.topic,
            payload=sent.payload,
            qos=mqtt5.QoS(sent.qos),
            retain=sent.retain,
            message_expiry_interval_sec=stale if letter.expiry_seconds is None else letter.expiry_seconds,
            response_topic=letter.reply_to or None,
            correlation_data_bytes=letter.correlation or None,
            user_properties=[mqtt5.UserProperty(name=name, value=value) for name, value in letter.words],
        )
        client.publish(packet).add_done_callback(lambda done: self._sent(number, sent, done))
        return number

    def _options(self) -> mqtt5.ClientOptions:
        settings = self._settings
        # First: an exception that passes by while a new event loop is taken down again would be lost in awscrt.
        tls = None if settings.tls is None else _tls(settings.tls)
        group = EventLoopGroup(1)
        socket = SocketOptions()
        socket.connect_timeout_ms = round(settings.connect_seconds * 1000)
        keepalive = settings.preset.keepalive_seconds
        return mqtt5.ClientOptions(
            host_name=settings.host,
            port=settings.port,
            bootstrap=ClientBootstrap(group, DefaultHostResolver(group)),
            socket_options=socket,
            tls_ctx=tls,
            connect_options=mqtt5.ConnectPacket(
                keep_alive_interval_sec=keepalive,
                client_id=settings.client_id,
                username=settings.username or None,
                password=settings.password or None,
                receive_maximum=settings.preset.max_unacknowledged,
                maximum_packet_size=MAX_PACKET_BYTES,
                will=self._last_will(),
            ),
            session_behavior=mqtt5.ClientSessionBehaviorType.CLEAN,
            offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
            # Full jitter, so that a fleet does not come back in one wave after its broker did.
            retry_jitter_mode=ExponentialBackoffJitterMode.FULL,
            min_reconnect_delay_ms=round(settings.retry_first_seconds * 1000),
            max_reconnect_delay_ms=round(settings.retry_longest_seconds * 1000),
            min_connected_time_to_reset_reconnect_delay_ms=1000,
            connack_timeout_ms=round(settings.connect_seconds * 1000),
            ping_timeout_ms=keepalive * 500,
            ack_timeout_sec=_NEVER_SECONDS,
            on_publish_callback_fn=self._on_publish,
            on_lifecycle_event_stopped_fn=self._on_stopped,
            on_lifecycle_event_connection_success_fn=self._on_connected,
            on_lifecycle_event_connection_failure_fn=self._on_failure,
            on_lifecycle_event_disconnection_fn=self._on_disconnected,
            disable_metrics=True,  # else it tells the broker who made it, inside our user name
        )

    def _last_will(self) -> mqtt5.PublishPacket | None:
        if self._will is None:
            return None
        will = self._will
        return mqtt5.PublishPacket(
            topic=will.topic, payload=will.payload, qos=mqtt5.QoS.AT_LEAST_ONCE, retain=True
        )

    # ------------------------------------------------------------ awscrt's callbacks, in the network thread
    def _on_connected(self, _data: mqtt5.LifecycleConnectSuccessData) -> None:
        with self._lock:
            self._accepted = True
            self._connection += 1
            self._reason = ""
            self._awaited = len(self._filters)
            for topic_filter, qos in self._filters.items():
                self._ask_for(topic_filter, qos, awaited=True)
            self._ledger.resend(self._send)
            ready = not self._filters
        if ready:
            self._events.put(Connected())

    def _ask_for(self, topic_filter: str, qos: int, *, awaited: bool) -> None:
        client, connection = self._client, self._connection
        if client is None:
            return
        spoken = topic_filter if self._settings.preset.shared_subscriptions else plain_filter(topic_filter)
        packet = mqtt5.SubscribePacket([mqtt5.Subscription(spoken, mqtt5.QoS(qos))])
        answer = client.subscribe(packet)
        answer.add_done_callback(lambda done: self._subscribed(done, connection if awaited else 0))

    def _subscribed(self, done: Future[mqtt5.SubackPacket], connection: int) -> None:
        if done.exception() is not None:
            return  # the connection is gone, and the next one asks again
        refused = [code for code in done.result().reason_codes if code >= _FIRST_FAILURE_CODE]
        with self._lock:
            if refused:
                self._reason = (
                    f"{self._settings.address} refuses a subscription: {_name(refused[0])};"
                    " look at its access rules"
                )
            client, closing = self._client, self._closing.is_set()
            self._awaited -= 1 if connection == self._connection and not refused else 0
            ready = connection == self._connection and not refused and not self._awaited
        if refused and client is not None and not closing:
            client.stop(mqtt5.DisconnectPacket())  # `_on_stopped` begins anew after a pause
        elif ready:
            self._events.put(Connected())

    def _on_publish(self, data: mqtt5.PublishReceivedData) -> None:
        packet = data.publish_packet
        # No broker is trusted: what we did not ask for does not get in.
        if any(takes(wanted, packet.topic) for wanted in tuple(self._filters)):
            self._wait_for_owner()
            letter = _read_letter(packet)
            self._events.put(Arrived(packet.topic, packet.payload or b"", bool(packet.retain), letter))

    def _wait_for_owner(self) -> None:
        longest = time.monotonic() + self._settings.preset.keepalive_seconds / 2
        while self._events.qsize() >= MAX_QUEUED_EVENTS and not self._owners_waiting:
            if self._closing.wait(_FULL_TICK_SECONDS) or time.monotonic() > longest:
                return

    def _sent(self, number: int, sent: Sent, done: Future[mqtt5.PublishCompletionData]) -> None:
        error = done.exception()
        if error is not None:
            if sent.qos == 0:
                self._ledger.confirm(number)  # lost, as QoS 0 may be; QoS 1 waits for the next connection
            return
        puback = done.result().puback
        code = getattr(puback, "reason_code", None)
        if code is not None and code >= _FIRST_FAILURE_CODE:
            log.warning("%s refuses a message for %s: %s", self._settings.address, sent.topic, _name(code))
        self._ledger.confirm(number)

    def _on_failure(self, data: mqtt5.LifecycleConnectFailureData) -> None:
        why = str(data.exception)
        if data.connack_packet is not None:
            why = f"refuses us: {_name(data.connack_packet.reason_code)}"
        if any(word in f"{why} {getattr(data.exception, 'name', '')}" for word in _OLD_BROKER):
            why += "; awscrt speaks MQTT 5 only: for a broker of MQTT 3.1.1 set broker.client to paho"
        self._tell_lost(f"{self._settings.address}: {why}")

    def _on_disconnected(self, data: mqtt5.LifecycleDisconnectData) -> None:
        why = str(data.exception)
        if data.disconnect_packet is not None:
            why = _name(data.disconnect_packet.reason_code)
        self._tell_lost(self._reason or f"{self._settings.address}: connection lost ({why})")

    def _tell_lost(self, reason: str) -> None:
        with self._lock:
            self._accepted = False
        self._ledger.drop_unsure()
        if self._events.qsize() < MAX_QUEUED_EVENTS and not self._closing.is_set():
            self._events.put(Disconnected(reason))

    def _on_stopped(self, _data: mqtt5.LifecycleStoppedData) -> None:
        if self._closing.is_set():
            self._stopped.set()
            return
        pause = random.uniform(0, self._settings.retry_longest_seconds)  # noqa: S311  # a pause is no secret
        again = threading.Timer(pause, self._start_again)
        again.daemon = True
        again.start()

    def _start_again(self) -> None:
        client = self._client
        if client is not None:
            client.start()


def _name(code: object) -> str:
    """Give a reason code as people say it: `Not authorized (0x87)`."""
    name, value = getattr(code, "name", None), getattr(code, "value", code)
    number = f"0x{value:02X}" if isinstance(value, int) else str(value)
    return f"{str(name).replace('_', ' ').capitalize()} ({number})" if name else number


def _tls(tls: TlsSettings) -> ClientTlsContext:
    tls_context(tls)  # whose messages name the file that cannot be used
    options = TlsContextOptions()
    try:
        if tls.certificate_file:
            options = TlsContextOptions.create_client_with_mtls_from_path(
                tls.certificate_file, tls.key_file or tls.certificate_file
            )
        if tls.ca_file:
            options.override_default_trust_store_from_path(None, tls.ca_file)
        options.min_tls_ver = TlsVersion.TLSv1_2
        return ClientTlsContext(options)
    except Exception as error:  # awscrt's own errors have no class but Exception
        raise UnreachableError(
            f"the TLS files of the broker cannot be used by awscrt: {error}",
            hint="check that they are PEM files, or set broker.client to paho",
        ) from error


def _bytes(data: bytes | str | None) -> bytes:
    return data.encode() if isinstance(data, str) else bytes(data or b"")


def _read_letter(packet: mqtt5.PublishPacket) -> Letter | None:
    words = tuple((each.name, each.value) for each in packet.user_properties or ())
    letter = Letter(packet.response_topic or "", _bytes(packet.correlation_data_bytes), words=words)
    return replace(letter, expiry_seconds=packet.message_expiry_interval_sec) if letter != Letter() else None
