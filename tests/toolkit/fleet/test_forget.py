"""What devices shall forget is said in a chain that they can follow."""

from __future__ import annotations

import json

import pytest

from toolkit.errors import IntegrityError, UnreachableError
from toolkit.fleet.forget import forget_answers
from toolkit.link.link import Arrived
from toolkit.link.memory_link import MemoryBroker, MemoryLink
from toolkit.wire.topics import Topics

TOPICS = Topics("north")


def said_on(broker):
    reader = MemoryLink(broker)
    reader.subscribe(TOPICS.forget("us"))
    reader.connect()
    events = [reader.events.get_nowait() for _ in range(reader.events.qsize())]
    return [json.loads(event.payload) for event in events if isinstance(event, Arrived)]


def say(broker, **what):
    link = MemoryLink(broker)
    try:
        return forget_answers(link, TOPICS, "us", name="cli-1", **what)
    finally:
        link.close()


def test_each_names_the_one_before_it():
    broker = MemoryBroker()
    first = say(broker, labels=["study-7"])
    second = say(broker, pattern="ct-*")
    assert (first.after, second.after) == ("", first.mark)
    (kept,) = said_on(broker)
    assert (kept["mark"], kept["after"], kept["pattern"]) == (second.mark, first.mark, "ct-*")


def test_after_what_is_no_message_the_chain_begins_anew():
    broker = MemoryBroker()
    writer = MemoryLink(broker)
    writer.connect()
    writer.publish(TOPICS.forget("us"), b"nonsense", retain=True)
    assert say(broker).after == ""


def test_nothing_is_said_that_no_device_would_take():
    broker = MemoryBroker()
    with pytest.raises(IntegrityError):
        say(broker, labels=["x" * 129])
    assert said_on(broker) == []


def test_a_broker_that_is_away_is_an_error(broker_that_is_away):
    with pytest.raises(UnreachableError, match="away"):
        say(broker_that_is_away, seconds=0.1)


@pytest.fixture
def broker_that_is_away():
    broker = MemoryBroker()
    broker.cut()
    return broker
