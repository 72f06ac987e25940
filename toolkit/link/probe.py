"""Ask a real broker what it takes: version, limits, encryption, and whether its access rules hold.

`tiers doctor --broker` calls it, and `fleet.doctor` says what the answers mean. It writes to two topics only: our own
echo, and one that nobody has any business with; nothing is retained. It speaks through paho whatever client the site
uses, because the facts are the broker's.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from cryptography import x509
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from toolkit.errors import UnreachableError
from toolkit.link.settings import LinkSettings, TlsSettings
from toolkit.link.tls import tls_context

V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
_HELLO_SECONDS: Final = 4.0
"""How long a broker may think about MQTT 5; some never answer a greeting that they cannot read."""
_ROUNDS: Final = 5
_OVERHEAD_BYTES: Final = 512
"""Topic and properties of a packet, at most."""
_TICK_SECONDS: Final = 0.05
_DENIED: Final = 0x80
"""Reason codes from here on are refusals (MQTT 5, section 2.4)."""


@dataclass(frozen=True)
class BrokerFacts:
    """What a broker said and did. None where it said nothing, or it could not be tried."""

    mqtt5: bool
    max_packet_bytes: int | None
    """Maximum Packet Size of CONNACK; None is no limit but MQTT's own."""
    receive_maximum: int
    """QoS 1 messages that it takes unacknowledged; 65535 where it says nothing (MQTT 5, section 3.2.2.3.3)."""
    max_qos: int
    retains: bool
    wildcards: bool
    shared_subscriptions: bool
    tls_version: str
    """Empty for a plain connection."""
    certificate_until: float | None
    """End of the broker's certificate, Unix seconds."""
    own_certificate_until: float | None
    round_trip_seconds: float | None
    """Median of a small message at QoS 1 from us to us; None where the echo does not come back."""
    full_frame_comes_back: bool | None
    """Whether a payload of the preset's largest size does; None where it was not tried, as it is over the limit."""
    writes_anywhere: bool
    """Whether it took a message for a topic that nobody of ours writes."""
    lets_anybody_in: bool
    """Whether it takes a client without certificate and login."""


def probe(settings: LinkSettings, echo_topic: str, closed_topic: str) -> BrokerFacts:
    """Look at a broker; takes a few round trips.

    Args:
        settings: where it is and how to log in; `client_id` has to be one that nobody else uses.
        echo_topic: ours to read and to write.
        closed_topic: nobody's to write.

    Raises:
        UnreachableError: it does not answer, or does not let us in; the reason is what it said.
    """
    with _visit(settings) as visit:
        size = settings.preset.max_payload_bytes
        told = visit.number("MaximumPacketSize")
        fits = told is None or size + _OVERHEAD_BYTES <= told
        there = visit.round_trips(echo_topic)
        facts = BrokerFacts(
            mqtt5=visit.protocol == V5,
            max_packet_bytes=told,
            receive_maximum=visit.number("ReceiveMaximum") or 65535,
            max_qos=1 if visit.number("MaximumQoS") is None else visit.number("MaximumQoS") or 0,
            retains=visit.number("RetainAvailable") != 0,
            wildcards=visit.number("WildcardSubscriptionAvailable") != 0,
            shared_subscriptions=visit.protocol == V5 and visit.number("SharedSubscriptionAvailable") != 0,
            tls_version=visit.tls_version,
            certificate_until=visit.certificate_until,
            own_certificate_until=_end_of(settings.tls.certificate_file if settings.tls else ""),
            round_trip_seconds=statistics.median(there) if there else None,
            full_frame_comes_back=(
                visit.round_trip(echo_topic, bytes(size), 0) is not None if fits and there else None
            ),
            writes_anywhere=visit.may_write(closed_topic),
            lets_anybody_in=False,
        )
    return replace(facts, lets_anybody_in=_anybody_comes_in(settings))


class _Visit:
    """One connection, driven by whoever calls."""

    def __init__(
        self, settings: LinkSettings, protocol: MQTTProtocolVersion, tls: ssl.SSLContext | None
    ) -> None:
        self.protocol = protocol
        self.reason = "no answer"
        self.accepted = False
        self._seconds = settings.connect_seconds
        self._address = settings.address
        self._properties: Properties | None = None
        self._heard: set[bytes] = set()
        self._answers: dict[int, int] = {}
        self._ended = False
        self._client = client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=None if protocol == V5 else True,
            protocol=protocol,
            reconnect_on_failure=False,
        )
        client.connect_timeout = settings.connect_seconds
        if settings.username:
            client.username_pw_set(settings.username, settings.password or None)
        if tls is not None:
            client.tls_set_context(tls)
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = lambda _c, _d, mid, codes, _p: self._answers.update({mid: codes[0].value})
        client.on_publish = lambda _c, _d, mid, code, _p: self._answers.update({mid: code.value})

    def connect(self, settings: LinkSettings, seconds: float) -> bool:
        try:
            self._client.connect(settings.host, settings.port, settings.preset.keepalive_seconds)
            sock = self._client.socket()
            if isinstance(sock, socket.socket):  # else small messages wait for each other's acknowledgement
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._wait(lambda: self.accepted or self._ended, seconds)
        except (OSError, ValueError) as error:
            self.reason = str(error)
        return self.accepted

    def close(self) -> None:
        self._client.disconnect()
        self._wait(lambda: self._ended, 1.0)
        client = self._client
        sock = client.socket()
        if sock is not None:
            sock.close()
        # paho closes a pair of sockets of its own when it is let go; our callbacks would hold it longer.
        client.on_connect = client.on_message = client.on_disconnect = client.on_subscribe = (
            client.on_publish
        ) = None

    # ------------------------------------------------------------ what it says
    def number(self, name: str) -> int | None:
        found = getattr(self._properties, name, None)
        return int(found) if found is not None else None

    @property
    def tls_version(self) -> str:
        sock = self._client.socket()
        return (sock.version() or "") if isinstance(sock, ssl.SSLSocket) else ""

    @property
    def certificate_until(self) -> float | None:
        sock = self._client.socket()
        der = sock.getpeercert(binary_form=True) if isinstance(sock, ssl.SSLSocket) else None
        return x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp() if der else None

    # ------------------------------------------------------------ what it does
    def hears(self, topic: str) -> bool:
        mid = self._client.subscribe(topic, 1)[1]
        return mid is not None and self._answer(mid) < _DENIED

    def round_trip(self, topic: str, payload: bytes, qos: int) -> float | None:
        """Give the seconds until a message is back; None if it does not come."""
        mark = secrets.token_bytes(8)
        sent = (mark + payload)[: max(len(payload), len(mark))]
        begun = time.monotonic()
        self._client.publish(topic, sent, qos)
        came = self._wait(lambda: mark in self._heard, self._seconds)
        return time.monotonic() - begun if came else None

    def round_trips(self, topic: str) -> list[float]:
        """Give the seconds of some small messages; none when the first does not come back."""
        times: list[float] = []
        while len(times) < _ROUNDS and (times or self.hears(topic)):
            seconds = self.round_trip(topic, b"echo", 1)
            if seconds is None:
                break
            times.append(seconds)
        return times

    def may_write(self, topic: str) -> bool:
        """Tell whether a message is taken: by what the broker answers in MQTT 5, by whether it comes back in 3.1.1."""
        if self._ended or not self.hears(topic):
            return False
        mark = secrets.token_bytes(8)
        mid = self._client.publish(topic, mark, 1).mid
        if self.protocol == V5:
            return self._answer(mid) < _DENIED
        self._answer(mid)
        return self._wait(lambda: mark in self._heard, 1.0)

    def _answer(self, mid: int) -> int:
        self._wait(lambda: mid in self._answers, self._seconds)
        return self._answers.get(mid, _DENIED)

    def _wait(self, condition: Callable[[], object], seconds: float) -> bool:
        left, began = seconds, time.monotonic()
        while not condition():
            if self._ended or left <= 0:
                return False
            if self._client.loop(_TICK_SECONDS) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._ended = True
            # A round counts for what it may take, and no more: a machine that stood still has not waited.
            now = time.monotonic()
            left, began = left - min(now - began, _TICK_SECONDS), now
        return True

    # ------------------------------------------------------------ paho's callbacks
    def _on_connect(
        self,
        _client: Client,
        _data: object,
        _flags: ConnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self.accepted = not code.is_failure
        self.reason = f"it refuses us: {code}"
        self._properties = properties

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self._heard.add(bytes(message.payload[:8]))

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        _flags: DisconnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._ended = True
        if self.reason == "no answer":
            self.reason = f"it hung up: {code}"


@contextmanager
def _visit(settings: LinkSettings) -> Iterator[_Visit]:
    """Connect, MQTT 5 first."""
    tls = tls_context(settings.tls) if settings.tls is not None else None
    reason = ""
    for protocol, seconds in (
        (V5, min(settings.connect_seconds, _HELLO_SECONDS)),
        (V311, settings.connect_seconds),
    ):
        visit = _Visit(settings, protocol, tls)
        try:
            if visit.connect(settings, seconds):
                yield visit
                return
            reason = reason or visit.reason
        finally:
            visit.close()
    hint = "is the address right, does the broker run, and do clock and certificates fit?"
    raise UnreachableError(f"the broker at {settings.address}: {reason}", hint=hint)


def _anybody_comes_in(settings: LinkSettings) -> bool:
    """Try it with no proof of who we are."""
    tls = TlsSettings(ca_file=settings.tls.ca_file) if settings.tls is not None else None
    nobody = replace(settings, username="", password="", tls=tls, client_id=f"nobody-{secrets.token_hex(6)}")
    try:
        with _visit(nobody):
            return True
    except UnreachableError:
        return False


def _end_of(certificate_file: str) -> float | None:
    if not certificate_file:
        return None
    with open(certificate_file, "rb") as stream:  # noqa: PTH123  # settings hold names, not paths
        return x509.load_pem_x509_certificate(stream.read()).not_valid_after_utc.timestamp()
