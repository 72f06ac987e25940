"""The same contract as paho's, over a real Mosquitto; what is awscrt's own beside it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contracts.link import LinkContract, arrival, await_event, connected
from tests.ports import one_free_port
from toolkit.errors import TiersError, UnreachableError
from toolkit.fleet.broker import LocalBroker, start_broker
from toolkit.link import choose
from toolkit.link.link import MAX_QUEUED_EVENTS, Arrived, Disconnected, LastWill
from toolkit.link.settings import LinkSettings, TlsSettings, settings_from_url

if TYPE_CHECKING:
    from toolkit.link.awscrt_link import AwscrtLink

_names = count()


@pytest.fixture(autouse=True)
def _awscrt_is_here(require) -> None:
    require("awscrt")


class Relay:
    """Stands between one client and the broker, so that its connection can be cut from outside."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def cut(self) -> None:
        for end in self._ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def close(self) -> None:
        """Close every socket here: left to the garbage collector it would be a warning in whichever test comes next."""
        self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        self._threads[0].join(60)
        self.cut()
        for thread in self._threads:
            thread.join(60)
        for end in (self._server, *self._ends):
            end.close()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            self._ends += [near, far]
            for one, other in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=_copy, args=(one, other), daemon=True))
                self._threads[-1].start()


def _copy(one: socket.socket, other: socket.socket) -> None:
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    finally:
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class AwscrtWorld:
    shares = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.links: dict[AwscrtLink, Relay] = {}
        self.broker: LocalBroker = start_broker(folder, kind="mosquitto", choose=one_free_port)
        self.port = self.broker.port

    def link(self, *, will: LastWill | None = None) -> AwscrtLink:
        relay = Relay(self.port)
        settings = settings_from_url(f"mqtt://127.0.0.1:{relay.port}", f"test-{next(_names)}")
        quick = replace(settings, retry_first_seconds=0.05, retry_longest_seconds=0.2, client="awscrt")
        link = choose.make_link(quick, will=will)
        self.links[link] = relay
        return link

    def vanish(self, link: AwscrtLink) -> None:
        self.links[link].cut()

    def cut(self) -> None:
        self.broker.stop()

    def restore(self) -> None:
        self.broker = start_broker(self.folder, port=self.port, kind="mosquitto")

    def end(self) -> None:
        for link, relay in self.links.items():
            link.close()
            relay.close()
        self.broker.stop()


@pytest.fixture
def awscrt_world(tmp_path: Path) -> Iterator[AwscrtWorld]:
    world = AwscrtWorld(tmp_path)
    yield world
    world.end()


@pytest.mark.broker
class TestOverMosquitto(LinkContract):
    @pytest.fixture
    def world(self, awscrt_world: AwscrtWorld) -> AwscrtWorld:
        return awscrt_world


def _settings(port: int, **changes: object) -> LinkSettings:
    settings = settings_from_url(f"mqtt://127.0.0.1:{port}", "test")
    return replace(settings, retry_first_seconds=0.05, client="awscrt", **changes)


def _first_event(settings: LinkSettings) -> Disconnected:
    link = choose.make_link(settings)
    link.connect()
    try:
        event = link.events.get(timeout=60)
    finally:
        link.close()
    assert isinstance(event, Disconnected)
    return event


def test_says_why_it_cannot_connect(free_port) -> None:
    port = free_port()
    reason = _first_event(_settings(port)).reason
    assert f"127.0.0.1:{port}" in reason
    assert "refused" in reason


def test_a_broker_of_mqtt_3_is_told_by_name(tmp_path: Path, require) -> None:
    require("amqtt")
    broker = start_broker(tmp_path, kind="amqtt", choose=one_free_port)
    try:
        reason = _first_event(_settings(broker.port, connect_seconds=2.0)).reason
    finally:
        broker.stop()
    assert "MQTT 5 only" in reason
    assert "broker.client to paho" in reason


def test_an_unreadable_certificate_is_told_at_once(tmp_path: Path) -> None:
    link = choose.make_link(_settings(1, tls=TlsSettings(ca_file=str(tmp_path / "ca.pem"))))
    with pytest.raises(UnreachableError, match=r"ca\.pem"):
        link.connect()


def test_a_payload_above_the_preset_is_refused() -> None:
    link = choose.make_link(_settings(1, preset_name="aws"))
    with pytest.raises(TiersError, match="preset 'aws'"):
        link.publish("t", bytes(120 * 1024 + 1))
    link.close()


@pytest.mark.broker
def test_a_refused_login_is_told(mosquitto) -> None:
    mosquitto.stop()
    mosquitto.settings = ("allow_anonymous false", "persistence false")
    mosquitto.start()
    link = choose.make_link(_settings(mosquitto.port))
    link.connect()
    # Not the first one when the machine is so busy that a greeting goes unanswered.
    await_event(link, lambda event: isinstance(event, Disconnected) and "Not authorized" in event.reason)
    link.close()


@pytest.mark.broker
def test_a_slow_owner_slows_the_network_and_memory_stays_small(awscrt_world: AwscrtWorld, wait_until) -> None:
    slow, sender = awscrt_world.link(), awscrt_world.link()
    sender.subscribe("echo")
    connected(sender)
    slow.subscribe("t")
    connected(slow)
    for _ in range(3 * MAX_QUEUED_EVENTS):
        sender.publish("t", b"x")
    sender.publish("echo", b"")
    arrival(sender, "echo")  # the broker has taken, and handed on, all that came before
    wait_until(lambda: slow.events.qsize() >= MAX_QUEUED_EVENTS, "the queue is full")
    sender.publish("echo", b"")
    arrival(sender, "echo")
    assert slow.events.qsize() < MAX_QUEUED_EVENTS + 64
    for _ in range(3 * MAX_QUEUED_EVENTS):
        assert isinstance(slow.events.get(timeout=60), Arrived)


@pytest.mark.broker
def test_an_owner_that_publishes_before_it_reads_is_not_stuck(awscrt_world: AwscrtWorld) -> None:
    """Its queue is full and so is what it may hand over: the network thread must go on writing."""
    link = awscrt_world.link()
    link.subscribe("t")
    connected(link)
    payload, number = bytes(100 * 1024), MAX_QUEUED_EVENTS + 100
    for _ in range(number):
        link.publish("t", payload)
        assert link._ledger._bytes <= link._settings.preset.max_unsent_bytes + len(payload)
    for _ in range(number):
        assert len(arrival(link, "t").payload) == len(payload)


@pytest.mark.broker
def test_a_link_that_owns_a_full_queue_closes(awscrt_world: AwscrtWorld) -> None:
    slow, sender = awscrt_world.link(), connected(awscrt_world.link())
    slow.subscribe("t", qos=1)
    connected(slow)
    for _ in range(MAX_QUEUED_EVENTS + 50):
        sender.publish("t", b"x", qos=1)
    assert sender.flush(60)
    before = time.monotonic()
    slow.close()
    assert time.monotonic() - before < 30
    assert slow._stopped.is_set()
