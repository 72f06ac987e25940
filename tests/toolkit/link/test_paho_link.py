from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from tests.contracts.link import LinkContract, arrival, await_event, connected
from tests.ports import one_free_port
from toolkit.errors import TiersError, UnreachableError
from toolkit.fleet.broker import LocalBroker, start_broker
from toolkit.link.link import MAX_QUEUED_EVENTS, Arrived, Connected, Disconnected, LastWill
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import LinkSettings, TlsSettings, settings_from_url

_names = count()


class PahoWorld:
    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.kind, self.shares = folder, kind, kind == "mosquitto"
        self.letters = self.shares
        self.links: list[PahoLink] = []
        self.broker: LocalBroker | None = start_broker(folder, kind=kind, choose=one_free_port)
        self.port = self.broker.port

    def link(self, *, will: LastWill | None = None) -> PahoLink:
        settings = settings_from_url(f"mqtt://127.0.0.1:{self.port}", f"test-{next(_names)}")
        self.links.append(
            PahoLink(replace(settings, retry_first_seconds=0.05, retry_longest_seconds=0.2), will=will)
        )
        return self.links[-1]

    def vanish(self, link: PahoLink) -> None:
        link._client.socket().shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        self.broker.stop()

    def restore(self) -> None:
        self.broker = start_broker(self.folder, port=self.port, kind=self.kind)

    def end(self) -> None:
        for link in self.links:
            link.close()
        self.broker.stop()


@pytest.fixture
def mosquitto_world(tmp_path: Path) -> Iterator[PahoWorld]:
    world = PahoWorld(tmp_path, "mosquitto")
    yield world
    world.end()


@pytest.mark.broker
class TestOverMosquitto(LinkContract):
    @pytest.fixture
    def world(self, mosquitto_world: PahoWorld) -> PahoWorld:
        return mosquitto_world

    def test_speaks_mqtt_5(self, world: PahoWorld) -> None:
        link = world.link()
        connected(link)
        assert link.protocol == "5"


class TestOverAmqtt(LinkContract):
    @pytest.fixture
    def world(self, tmp_path: Path, require) -> Iterator[PahoWorld]:
        require("amqtt")
        world = PahoWorld(tmp_path, "amqtt")
        yield world
        world.end()

    def test_speaks_mqtt_3_1_1(self, world: PahoWorld) -> None:
        link = world.link()
        connected(link)
        assert link.protocol == "3.1.1"


def _settings(port: int, **changes: object) -> LinkSettings:
    return replace(settings_from_url(f"mqtt://127.0.0.1:{port}", "test"), retry_first_seconds=0.05, **changes)


def test_says_why_it_cannot_connect(free_port) -> None:
    port = free_port()
    link = PahoLink(_settings(port))
    link.connect()
    event = link.events.get(timeout=60)
    link.close()
    assert isinstance(event, Disconnected)
    assert f"127.0.0.1:{port}" in event.reason
    assert "refused" in event.reason


def test_gives_up_on_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = PahoLink(_settings(server.getsockname()[1], connect_seconds=0.2))
        link.connect()
        event = link.events.get(timeout=60)
        link.close()
    assert isinstance(event, Disconnected)
    assert "does not speak MQTT" in event.reason


def test_an_unreadable_certificate_is_told_at_once(tmp_path: Path) -> None:
    link = PahoLink(_settings(1, tls=TlsSettings(ca_file=str(tmp_path / "ca.pem"))))
    with pytest.raises(UnreachableError, match=r"ca\.pem"):
        link.connect()


def test_a_payload_above_the_preset_is_refused() -> None:
    link = PahoLink(_settings(1, preset_name="aws"))
    with pytest.raises(TiersError, match="preset 'aws'"):
        link.publish("t", bytes(120 * 1024 + 1))
    link.close()


@pytest.mark.broker
def test_a_refused_login_is_told(mosquitto) -> None:
    mosquitto.stop()
    mosquitto.settings = ("allow_anonymous false", "persistence false")
    mosquitto.start()
    link = PahoLink(_settings(mosquitto.port))
    link.connect()
    # Not the first one when the machine is so busy that a greeting goes unanswered.
    await_event(link, lambda event: isinstance(event, Disconnected) and "Not authorized" in event.reason)
    link.close()


class _StandsStill(PahoLink):
    """Greets, finds no answer yet, and then its machine stands still for longer than an answer may take."""

    rounds = 0

    def _poll(self, *arguments: object, **options: object) -> tuple[bool, bool]:
        self.rounds += 1
        if self.rounds != 2:
            return super()._poll(*arguments, **options)
        threading.Event().wait(1.5)
        return False, False


@pytest.mark.broker
def test_a_machine_that_stood_still_takes_nobody_for_silent(mosquitto_world: PahoWorld) -> None:
    """A greeting counts as unanswered when nothing came while we listened, not because the clock has gone on."""
    link = _StandsStill(_settings(mosquitto_world.port, connect_seconds=1.0))
    mosquitto_world.links.append(link)
    connected(link)
    assert link.rounds > 2
    assert link.protocol == "5"


@pytest.mark.broker
def test_a_slow_owner_slows_the_network_and_memory_stays_small(
    mosquitto_world: PahoWorld, wait_until
) -> None:
    slow, sender = mosquitto_world.link(), mosquitto_world.link()
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
def test_publish_waits_for_the_network_instead_of_filling_memory(mosquitto_world: PahoWorld) -> None:
    sender = connected(mosquitto_world.link())
    receiver = mosquitto_world.link()
    receiver.subscribe("t")
    connected(receiver)
    payload, count_sent = bytes(256 * 1024), 100
    for _ in range(count_sent):
        sender.publish("t", payload)
        assert sender._ledger._bytes <= sender._settings.preset.max_unsent_bytes + len(payload)
    assert sender.flush(60)
    for _ in range(count_sent):
        assert len(arrival(receiver, "t").payload) == len(payload)


@pytest.mark.broker
def test_large_messages_of_both_kinds_do_not_get_into_each_other(mosquitto_world: PahoWorld) -> None:
    """QoS 0 is written beside paho; nothing of the one may stand inside of a packet of the other."""
    receiver, sender = mosquitto_world.link(), connected(mosquitto_world.link())
    receiver.subscribe("t/+", qos=1)
    connected(receiver)
    payload, number = bytes(range(256)) * 900, 80
    for each in range(number):
        sender.publish("t/0", payload + b"%d" % each)
        sender.publish("t/1", payload + b"%d" % each, qos=1)
    assert sender.flush(60)
    got: dict[str, list[bytes]] = {}
    for _ in range(2 * number):
        event = await_event(receiver, lambda event: isinstance(event, Arrived))
        got.setdefault(event.topic, []).append(event.payload)
    assert got == {f"t/{qos}": [payload + b"%d" % each for each in range(number)] for qos in (0, 1)}


@pytest.mark.broker
def test_many_threads_may_publish(mosquitto_world: PahoWorld) -> None:
    receiver, sender = mosquitto_world.link(), connected(mosquitto_world.link())
    receiver.subscribe("t/+", qos=1)
    connected(receiver)
    threads = [
        threading.Thread(target=lambda n=n: [sender.publish(f"t/{n}", b"%d" % i, qos=1) for i in range(50)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sender.flush(60)
    got: dict[str, list[int]] = {}
    for _ in range(200):
        event = await_event(receiver, lambda event: isinstance(event, Arrived))
        got.setdefault(event.topic, []).append(int(event.payload))
    assert got == {f"t/{n}": list(range(50)) for n in range(4)}


@pytest.mark.broker
def test_a_link_that_owns_a_full_queue_closes(mosquitto_world: PahoWorld) -> None:
    slow, sender = mosquitto_world.link(), connected(mosquitto_world.link())
    slow.subscribe("t", qos=1)
    connected(slow)
    for _ in range(MAX_QUEUED_EVENTS + 50):
        sender.publish("t", b"x", qos=1)
    assert sender.flush(60)
    before = time.monotonic()
    slow.close()
    assert time.monotonic() - before < 30
    assert not slow._thread.is_alive()


def test_a_second_connect_does_nothing(free_port) -> None:
    link = PahoLink(_settings(free_port()))
    link.connect()
    thread = link._thread
    link.connect()
    assert link._thread is thread
    link.close()
    assert not any(isinstance(event, Connected) for event in list(link.events.queue))
