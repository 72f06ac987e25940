"""Watch: it knows when everything retained has come, over memory and real brokers, and says why when it has not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import one_free_port
from tests.toolkit.fleet.pretend import KEY, KEYRING, TOPICS, World, intent, publish
from toolkit.errors import UnreachableError
from toolkit.fleet.broker import start_broker
from toolkit.fleet.reports import QUIET_SECONDS, Watch, open_watch
from toolkit.link.link import Arrived, Connected, Disconnected
from toolkit.link.memory_link import MemoryLink
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.wire.document import encode_json
from toolkit.wire.report import Report

MANY = 1000


def test_is_settled_by_its_echo_and_a_quiet_moment() -> None:
    world = World()
    watch = Watch(MemoryLink(world.broker), TOPICS, KEYRING, name="w")
    watch.begin()
    watch.link.connect()
    assert not watch.settled(0.0)
    assert watch.wait_for(watch.link.events.empty, 60)
    assert not watch.settled(10.0), "the quiet begins now"
    assert not watch.settled(10.0 + QUIET_SECONDS / 2)
    watch.handle(Arrived(TOPICS.state("a"), encode_json(Report(device="a", seq=1)), retained=True))
    assert not watch.settled(10.0 + QUIET_SECONDS), "a retained document came late: the quiet begins again"
    watch.handle(Arrived(TOPICS.state("a"), encode_json(Report(device="a", seq=2))))
    assert watch.settled(10.0 + 2 * QUIET_SECONDS), "what devices say meanwhile does not matter"


def test_an_echo_of_an_earlier_connection_does_not_count() -> None:
    watch = World().watch()
    later = time.monotonic() + 1
    assert watch.settled(later)
    watch.handle(Disconnected("gone"))
    assert not watch.settled(later)
    watch.handle(Connected())
    watch.handle(Arrived(TOPICS.echo("watch"), b"1"))
    assert not watch.settled(later)
    watch.handle(Arrived(TOPICS.echo("watch"), b"2"))
    assert watch.settled(later)


def test_waits_for_a_condition_by_taking_events() -> None:
    world = World()
    watch = world.watch()
    publish(world.operator, intent())
    assert watch.wait_for(lambda: "digits-2" in watch.retained.rollouts, 60)
    assert not watch.wait_for(lambda: "other" in watch.retained.rollouts, 0.05)


def test_what_has_come_by_the_deadline_counts_though_nobody_has_looked_yet() -> None:
    world = World()
    watch = world.watch()
    publish(world.operator, intent())

    def slow() -> bool:
        threading.Event().wait(0.02)
        return "digits-2" in watch.retained.rollouts

    assert watch.wait_for(slow, 0.01)
    assert not watch.wait_for(lambda: "other" in watch.retained.rollouts, 0.01)


def test_says_which_broker_does_not_answer_and_why() -> None:
    world = World()
    world.broker.cut()
    watch = Watch(MemoryLink(world.broker), TOPICS, KEYRING, name="w")
    watch.begin()
    watch.link.connect()
    with pytest.raises(
        UnreachableError, match="the broker at X cannot be reached: the broker is away"
    ) as caught:
        watch.reach(0.05, address="the broker at X")
    assert "--broker" in caught.value.hint


@pytest.fixture(params=[pytest.param("mosquitto", marks=pytest.mark.broker), "amqtt"])
def url(request, tmp_path: Path, require) -> Iterator[str]:
    """A real broker of each kind."""
    require(request.param)
    broker = start_broker(tmp_path, kind=request.param, choose=one_free_port)
    yield broker.url
    broker.stop()


def test_has_everything_when_it_says_so(url: str) -> None:
    sender = PahoLink(settings_from_url(url, "sender"))
    sender.connect()
    for number in range(MANY):
        report = Report(device=f"box-{number}", seq=1)
        sender.publish(TOPICS.state(report.device), encode_json(report), qos=1, retain=True)
    publish(sender, intent(), KEY)
    assert sender.flush(60)
    for attempt in range(3):
        name = f"watch-{attempt}"
        link = PahoLink(settings_from_url(url, name))
        # No quiet time: the echo alone must be enough for these two brokers.
        watch = open_watch(link, TOPICS, KEYRING, name=name, address=url, quiet_seconds=0.0)
        assert (len(watch.retained.reports), list(watch.retained.rollouts)) == (MANY, ["digits-2"])
        watch.close()
    sender.close()


@pytest.mark.broker
def test_a_broker_that_denies_the_echo_is_named(mosquitto, tmp_path: Path) -> None:
    mosquitto.stop()
    rules = tmp_path / "rules"
    rules.write_text(f"topic read {TOPICS.root}/#\ntopic write {TOPICS.root}/r/#\n")
    mosquitto.settings = (*mosquitto.settings, f"acl_file {rules}")
    mosquitto.start()
    watch = Watch(
        PahoLink(settings_from_url(f"mqtt://127.0.0.1:{mosquitto.port}", "w")), TOPICS, KEYRING, name="w"
    )
    watch.begin()
    watch.link.connect()
    watch.reach()
    with pytest.raises(UnreachableError, match="e/w did not come back") as caught:
        watch.settle(0.5)
    assert "access rules" in caught.value.hint
    watch.link.close()


@pytest.mark.broker
def test_a_refused_connection_is_told_within_seconds(free_port) -> None:
    port = free_port()
    began = time.monotonic()
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{port}: .*refused"):
        open_watch(
            PahoLink(settings_from_url(f"mqtt://127.0.0.1:{port}", "w")), TOPICS, None, name="w", address="it"
        )
    assert time.monotonic() - began < 40
