"""What every link promises. A test file subclasses `LinkContract` and gives the fixture `world`."""

from __future__ import annotations

import dataclasses
import queue
import time
from collections.abc import Callable
from typing import Protocol

import pytest

from toolkit.link.link import Arrived, Connected, Disconnected, LastWill, Letter, Link, LinkEvent


class World(Protocol):
    """A broker and the links to it."""

    shares: bool
    """Whether the broker knows shared subscriptions."""
    letters: bool = True
    """Whether it speaks MQTT 5, which has letters."""

    def link(self, *, will: LastWill | None = None) -> Link: ...

    def vanish(self, link: Link) -> None:
        """Cut one client's connection without a goodbye."""

    def cut(self) -> None:
        """Take the broker away."""

    def restore(self) -> None:
        """Bring the broker back on the same address."""


def await_event(link: Link, wanted: Callable[[LinkEvent], bool], seconds: float = 120.0) -> LinkEvent:
    """Take events until one fits; fail with those that came instead."""
    deadline = time.monotonic() + seconds
    seen: list[LinkEvent] = []
    while (left := deadline - time.monotonic()) > 0:
        try:
            event = link.events.get(timeout=left)
        except queue.Empty:
            break
        if wanted(event):
            return event
        seen.append(event)
    pytest.fail(f"the expected event did not come; instead: {str(seen)[:1000]}")


def connected(link: Link) -> Link:
    link.connect()
    await_event(link, lambda event: isinstance(event, Connected))
    return link


def arrival(link: Link, topic: str) -> Arrived:
    event = await_event(link, lambda event: isinstance(event, Arrived) and event.topic == topic)
    assert isinstance(event, Arrived)
    return event


def arrivals_before(link: Link, last: str) -> list[Arrived]:
    """All messages up to the one on topic `last`."""
    seen: list[Arrived] = []

    def collect(event: LinkEvent) -> bool:
        if isinstance(event, Arrived):
            seen.append(event)
        return isinstance(event, Arrived) and event.topic == last

    await_event(link, collect)
    return seen[:-1]


class LinkContract:
    def test_says_connected_once_the_subscriptions_stand(self, world: World) -> None:
        receiver, sender = world.link(), connected(world.link())
        receiver.subscribe("t/a", qos=1)
        connected(receiver)
        sender.publish("t/a", b"first", qos=1)
        assert arrival(receiver, "t/a") == Arrived("t/a", b"first", retained=False)

    def test_subscribes_while_connected(self, world: World) -> None:
        receiver = connected(world.link())
        receiver.subscribe("t/a")
        receiver.publish("t/a", b"me", qos=1)
        assert arrival(receiver, "t/a").payload == b"me"

    def test_wildcards_take_what_they_name_and_nothing_else(self, world: World) -> None:
        receiver, sender = world.link(), connected(world.link())
        receiver.subscribe("tiers/1/north/d/+/req", qos=1)
        receiver.subscribe("tail/#", qos=1)
        receiver.subscribe("end", qos=1)
        connected(receiver)
        topics = [
            "tiers/1/north/d/a/req",
            "tiers/1/north/d/a/st",
            "tiers/1/south/d/a/req",
            "tail/x/y",
            "tai/x",
            "end",
        ]
        for topic in topics:
            sender.publish(topic, b"x", qos=1)
        assert sorted(event.topic for event in arrivals_before(receiver, "end")) == ["tail/x/y", topics[0]]

    def test_a_retained_message_waits_for_later_subscribers_and_can_be_cleared(self, world: World) -> None:
        sender = connected(world.link())
        sender.publish("state", b"old", qos=1, retain=True)
        sender.publish("state", b"new", qos=1, retain=True)
        assert sender.flush(60)
        late = world.link()
        late.subscribe("state", qos=1)
        late.connect()
        assert arrival(late, "state") == Arrived("state", b"new", retained=True)
        sender.publish("state", b"", qos=1, retain=True)
        assert arrival(late, "state") == Arrived("state", b"", retained=False)

    def test_what_is_unsubscribed_is_heard_no_more(self, world: World) -> None:
        receiver = world.link()
        receiver.subscribe("stream/a")
        receiver.subscribe("end", qos=1)
        connected(receiver)
        receiver.unsubscribe("stream/a")
        receiver.unsubscribe("never/asked/for")
        receiver.publish("stream/a", b"no", qos=1)
        receiver.publish("end", b"", qos=1)
        assert arrivals_before(receiver, "end") == []
        receiver.subscribe("stream/a")
        receiver.publish("stream/a", b"again", qos=1)
        assert arrival(receiver, "stream/a").payload == b"again"

    def test_qos_1_before_the_connection_is_kept_for_it(self, world: World) -> None:
        receiver, sender = world.link(), world.link()
        receiver.subscribe("early", qos=1)
        connected(receiver)
        sender.publish("early", b"1", qos=1)
        sender.publish("early", b"2", qos=1)
        connected(sender)
        assert [arrival(receiver, "early").payload for _ in range(2)] == [b"1", b"2"]
        assert sender.flush(60)

    def test_a_link_hears_nothing_that_it_did_not_ask_for(self, world: World) -> None:
        sender = connected(world.link())
        for topic in ("theirs/a", "mine/a"):
            sender.publish(topic, b"kept", qos=1, retain=True)
        assert sender.flush(60)
        other, mine = world.link(), world.link()
        other.subscribe("theirs/#", qos=1)
        connected(other)
        mine.subscribe("mine/#", qos=1)
        mine.connect()
        assert arrivals_before(mine, "mine/a") == []
        sender.publish("mine/end", b"", qos=1)
        assert {event.topic for event in arrivals_before(mine, "mine/end")} <= {"mine/a"}

    def test_messages_keep_their_order(self, world: World) -> None:
        receiver, sender = world.link(), connected(world.link())
        receiver.subscribe("n/+", qos=1)
        connected(receiver)
        for number in range(300):
            sender.publish(f"n/{number}", b"x" * number, qos=1)
        sender.publish("n/end", b"", qos=1)
        assert [event.topic for event in arrivals_before(receiver, "n/end")] == [f"n/{n}" for n in range(300)]

    def test_the_last_will_is_published_retained_when_a_client_vanishes(self, world: World) -> None:
        watcher = world.link()
        watcher.subscribe("d/box/up", qos=1)
        connected(watcher)
        box = connected(world.link(will=LastWill("d/box/up", b"offline")))
        box.publish("d/box/up", b"online", qos=1, retain=True)
        assert arrival(watcher, "d/box/up").payload == b"online"
        world.vanish(box)
        assert arrival(watcher, "d/box/up").payload == b"offline"
        late = world.link()
        late.subscribe("d/box/up", qos=1)
        late.connect()
        assert arrival(late, "d/box/up") == Arrived("d/box/up", b"offline", retained=True)

    def test_the_last_will_is_not_published_after_close(self, world: World) -> None:
        watcher = world.link()
        watcher.subscribe("#", qos=1)
        connected(watcher)
        box = connected(world.link(will=LastWill("d/box/up", b"offline")))
        box.close()
        box.close()
        connected(world.link()).publish("end", b"", qos=1)
        assert arrivals_before(watcher, "end") == []

    def test_connects_and_subscribes_again_after_the_broker_was_away(self, world: World) -> None:
        receiver, sender = world.link(), world.link()
        receiver.subscribe("t", qos=1)
        connected(receiver)
        connected(sender)
        world.cut()
        gone = await_event(receiver, lambda event: isinstance(event, Disconnected))
        assert isinstance(gone, Disconnected)
        assert gone.reason
        await_event(sender, lambda event: isinstance(event, Disconnected))
        sender.publish("t", b"while away", qos=1)
        assert not sender.flush(0.05)
        world.restore()
        await_event(receiver, lambda event: isinstance(event, Connected))
        await_event(sender, lambda event: isinstance(event, Connected))
        sender.publish("t", b"after", qos=1)
        assert sender.flush(60)
        assert arrival(receiver, "t").payload in {b"while away", b"after"}

    @pytest.mark.parametrize("qos", [0, 1])
    def test_a_letter_goes_with_its_message(self, world: World, qos: int) -> None:
        receiver, sender = world.link(), connected(world.link())
        receiver.subscribe("t/+", qos=1)
        connected(receiver)
        letter = Letter("answers/here", b"\0\xff7", 60, (("status", "200"), ("status", "again")))
        sender.publish("t/with", b"question", qos=qos, letter=letter)
        sender.publish("t/without", b"plain", qos=qos)
        came, plain = arrival(receiver, "t/with"), arrival(receiver, "t/without")
        assert (came.payload, plain.payload, plain.letter) == (b"question", b"plain", None)
        if getattr(world, "letters", True):
            assert came.letter is not None
            assert came.letter.expiry_seconds is not None
            assert 0 < came.letter.expiry_seconds <= 60
            assert dataclasses.replace(came.letter, expiry_seconds=60) == letter
        else:
            assert came.letter is None

    def test_a_shared_subscription_reaches_one_of_the_group(self, world: World) -> None:
        group, sender = [world.link(), world.link()], connected(world.link())
        for member in group:
            member.subscribe("$share/depot/d/+/req", qos=1)
            member.subscribe("end", qos=1)
            connected(member)
        for number in range(20):
            sender.publish(f"d/{number}/req", b"", qos=1)
        sender.publish("end", b"", qos=1)
        got = [[event.topic for event in arrivals_before(member, "end")] for member in group]
        if world.shares:
            assert len(got[0]) + len(got[1]) == 20
        assert {*got[0], *got[1]} == {f"d/{number}/req" for number in range(20)}
