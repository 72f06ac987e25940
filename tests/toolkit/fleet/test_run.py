"""A depot and a driver side by side: they start in order, end together, and a failure of one is the failure of both."""

from __future__ import annotations

import threading

import pytest

from tests.toolkit.registry.making import Site
from toolkit.errors import RolloutError, UnreachableError
from toolkit.fleet.depot import Depot
from toolkit.fleet.run import run_site
from toolkit.fleet.steer import Steering
from toolkit.link.memory_link import MemoryBroker, MemoryLink
from toolkit.wire.topics import Topics

TOPICS = Topics("north")


def _depot(broker: MemoryBroker, site: Site) -> Depot:
    return Depot(MemoryLink(broker), TOPICS, lambda: site.store, site.keyring)


def _steering(broker: MemoryBroker, site: Site, kind: type[Steering] = Steering) -> Steering:
    return kind(MemoryLink(broker), TOPICS, site.key, site.keyring, quiet_seconds=0)


def test_both_run_until_they_are_told_to_stop(site: Site) -> None:
    broker, stop, seen = MemoryBroker(), threading.Event(), []

    def ready() -> None:
        seen.extend(thread.name for thread in threading.enumerate())
        stop.set()

    run_site(_depot(broker, site), _steering(broker, site), stop, ready=ready)
    assert "steer" in seen
    assert "steer" not in [thread.name for thread in threading.enumerate()]


def test_a_driver_that_fails_ends_the_depot_and_is_told(site: Site) -> None:
    class Failing(Steering):
        def run(self, stop: threading.Event) -> None:
            assert not stop.is_set()
            raise RolloutError("the key is gone")

    broker = MemoryBroker()
    with pytest.raises(RolloutError, match="the key is gone"):
        run_site(_depot(broker, site), _steering(broker, site, Failing), threading.Event())


def test_a_broker_that_is_away_ends_it_before_anything_is_steered(site: Site) -> None:
    broker = MemoryBroker()
    broker.cut()
    steering = _steering(broker, site)
    with pytest.raises(UnreachableError, match="the broker is away"):
        run_site(_depot(broker, site), steering, threading.Event())
    assert steering.term == 0
