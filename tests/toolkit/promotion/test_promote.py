"""Promote: gates first, one rollout however often it is asked, and a way to leave."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.toolkit.fleet.pretend import Device, World
from tests.toolkit.registry.making import Site
from toolkit.errors import GateRefusedError, RolloutError
from toolkit.fleet.reports import Watch
from toolkit.fleet.steer import Steering
from toolkit.link.memory_link import MemoryLink
from toolkit.promotion.promote import PromoteRequest, Promotion, promote
from toolkit.promotion.summary import summary_of
from toolkit.wire.topics import Topics

TOPICS = Topics("medical-imaging")
DEVICES = ("box-1", "box-2", "box-3")


class Ci:
    """A CI job beside a hospital with digits on three boxes, whose driver and devices live in a thread."""

    def __init__(self, site: Site, topology) -> None:
        self.site = site
        self.world = World()
        for name in DEVICES:
            device = Device(name, MemoryLink(self.world.broker), topics=TOPICS, keyring=site.keyring)
            self.world.devices[name] = device.start()
        rollout = {"canary": 1, "waves": ["100%"], "soak": "0s"}
        digits = {"source": "digits@1", "pools": ["boxes"], "rollout": rollout,
                  "accuracy": {"metric": "accuracy", "at_least": 0.9}}  # fmt: skip
        boxes = {"hardware": "jetson-orin-nx", "nodes": {"names": list(DEVICES)}}
        self.topology = topology(
            {"tiers": {"edge": {"pools": {"boxes": boxes}}}, "models": {"digits": digits}}
        )
        for version, accuracy in (("1", 0.95), ("2", 0.5), ("3", 0.92)):
            site.push(version=version, width=100, head=int(version), min_accuracy=accuracy)
        self.connections = 0

    @contextmanager
    def connect(self) -> Iterator[Watch]:
        self.connections += 1
        watch = Watch(MemoryLink(self.world.broker), TOPICS, self.site.keyring, name="ci", quiet_seconds=0)
        watch.begin()
        watch.link.connect()
        watch.settle(20)
        yield watch
        watch.close()

    @contextmanager
    def life(self) -> Iterator[None]:
        driver = Steering(
            MemoryLink(self.world.broker),
            TOPICS,
            self.site.key,
            self.site.keyring,
            name="steer",
            quiet_seconds=0,
        )
        driver.begin()
        driver.watch.link.connect()
        over = threading.Event()

        def live() -> None:
            while not over.wait(0.005):
                self.world.turn(driver, seconds=0.1)

        thread = threading.Thread(target=live)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(60)

    def promote(self, version: str = "", **more: object) -> Promotion:
        seconds = more.pop("seconds", 100.0)
        request = PromoteRequest("digits", version, seconds=seconds)
        return promote(
            self.topology, self.site.store, self.connect, self.site.key, self.site.keyring, request, **more
        )


@pytest.fixture
def ci(site: Site, topology) -> Ci:
    return Ci(site, topology)


def test_it_arrives_and_asking_again_finds_it(ci: Ci) -> None:
    with ci.life():
        first = ci.promote()
        again = ci.promote()
    assert (first.outcome, first.passed, first.error(1.0), first.repeated) == ("promoted", True, None, False)
    assert (again.outcome, again.rollout, again.repeated) == ("promoted", first.rollout, True)
    page = summary_of(first)
    assert page.startswith("## digits@1 is in production\n")
    assert "| signature | passed |" in page
    assert "Rollout `digits-1-1` of site `medical-imaging`: **SUCCEEDED**, wave 2 of 2." in page


def test_a_shut_gate_starts_nothing_and_connects_to_nobody(ci: Ci) -> None:
    refused = ci.promote("2")
    assert (refused.outcome, refused.rollout, ci.connections) == ("refused", "", 0)
    error = refused.error(1.0)
    assert isinstance(error, GateRefusedError)
    assert "digits@2 may not go to production: accuracy: the manifest has no accuracy" in error.message
    assert "--metric accuracy=NUMBER" in error.hint
    assert "| accuracy | **shut** |" in summary_of(refused)


def test_devices_that_refuse_give_7_with_their_reasons(ci: Ci) -> None:
    with ci.life():
        ci.promote()
        for device in ci.world.devices.values():
            device.refuses_versions = {"3"}
        failed = ci.promote("3")
    assert failed.outcome == "failed"
    assert isinstance(failed.error(1.0), GateRefusedError)
    page = summary_of(failed)
    assert "| FAILED | golden-mismatch | output y is off by 0.9 |" in page
    assert "refused 1 of 1 devices, limit 0: **broken**" in page


def test_leaving_lets_the_rollout_go_on_and_the_next_one_finds_it(ci: Ci) -> None:
    stop = threading.Event()
    left = ci.promote(on_change=lambda _: stop.set(), stop=stop.is_set)
    assert (left.outcome, left.error(1.0), left.status.state) == ("left", None, "RUNNING")
    with ci.life():
        back = ci.promote()
    assert (back.outcome, back.rollout, back.repeated) == ("promoted", left.rollout, True)


def test_who_leaves_at_once_starts_nothing(ci: Ci) -> None:
    left = ci.promote(stop=lambda: True)
    assert (left.outcome, left.rollout, ci.connections) == ("left", "", 0)


def test_when_time_is_over_it_says_what_is_missing(ci: Ci) -> None:
    still = ci.promote(seconds=0.1)
    assert still.outcome == "open"
    error = still.error(0.1)
    assert isinstance(error, RolloutError)
    assert "nobody has told box-" in error.message


def test_what_a_device_says_is_no_markup(ci: Ci) -> None:
    for device in ci.world.devices.values():
        device.refuses_versions = {"1"}
        device.words = "<img src=x>|**[a](http://b)**\n# big"
    with ci.life():
        failed = ci.promote()
    page = summary_of(failed)
    assert "<img" not in page
    assert "\\*\\*\\[a\\]\\(http://b\\)\\*\\* \\# big" in page
    assert "\\|" in page
