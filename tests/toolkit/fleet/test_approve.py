"""Approval: a wave waits for an operator's word, which may come in advance and be said twice."""

from __future__ import annotations

import pytest

from tests.toolkit.fleet.pretend import KEY, STRANGER, World, entry, intent, publish, publish_desired
from toolkit.errors import RolloutError, SignatureError
from toolkit.fleet.follow import verdict
from toolkit.fleet.rollout import approve, change
from toolkit.fleet.status import rollout_row
from toolkit.fleet.steer import Steering
from toolkit.protocol.waves import RolloutState
from toolkit.wire.rollout import Wave

WAVES = (Wave(devices=1), Wave(devices=2, approve=True), Wave(devices=4, approve=True))


@pytest.fixture
def world() -> World:
    """Four devices that run digits 1, and a rollout whose second and third waves need a word."""
    world = World()
    world.add("a", "b", "c", "d")
    for device in world.devices:
        publish_desired(world.operator, device, (entry(),))
    world.turn()
    publish(world.operator, intent(waves=WAVES))
    return world


@pytest.fixture
def driver(world: World) -> Steering:
    driver = world.driver()
    world.until_quiet(driver)
    return driver


def updated(world: World) -> int:
    return list(world.versions().values()).count("2")


def test_each_wave_waits_for_its_word(world: World, driver: Steering) -> None:
    assert (driver.progress["digits-2"].state, updated(world)) == (RolloutState.AWAITING_APPROVAL, 1)
    watch = world.watch()
    seen = rollout_row(watch.retained, watch.retained.rollouts["digits-2"])
    assert verdict(seen, 1.0).hint == "tiers rollout approve digits-2"
    first = approve(watch, KEY, "digits-2")
    assert (first.rollout.approved, first.rollout.seq, first.rollout.format) == (2, 2, 2)
    world.until_quiet(driver)
    assert (driver.progress["digits-2"].state, updated(world)) == (RolloutState.AWAITING_APPROVAL, 2)
    approve(world.watch("another"), KEY, "digits-2")
    world.until_quiet(driver)
    assert (driver.progress["digits-2"].state, updated(world)) == (RolloutState.SUCCEEDED, 4)


def test_a_word_may_come_in_advance_and_twice(world: World, driver: Steering) -> None:
    watch = world.watch()
    assert approve(watch, KEY, "digits-2", 3).rollout.approved == 3
    assert approve(watch, KEY, "digits-2", 3).repeated
    assert approve(watch, KEY, "digits-2", 2).repeated
    world.until_quiet(driver)
    assert updated(world) == 4


def test_a_word_survives_a_pause(world: World, driver: Steering) -> None:
    watch = world.watch()
    change(watch, KEY, "digits-2", "pause")
    approve(watch, KEY, "digits-2", 3)
    world.until_quiet(driver)
    assert updated(world) == 1
    resumed = change(watch, KEY, "digits-2", "resume")
    assert (resumed.rollout.approved, resumed.rollout.action) == (3, "run")
    world.until_quiet(driver)
    assert updated(world) == 4


def test_what_cannot_be_approved_is_told_with_a_cure(world: World, driver: Steering) -> None:
    watch = world.watch()
    with pytest.raises(RolloutError, match="has 3 waves, and no wave 4"):
        approve(watch, KEY, "digits-2", 4)
    with pytest.raises(SignatureError):
        approve(watch, STRANGER, "digits-2")
    change(watch, KEY, "digits-2", "abort")
    world.until_quiet(driver)
    with pytest.raises(RolloutError, match="is ABORTED, so there is nothing to approve"):
        approve(world.watch("later"), KEY, "digits-2")
    publish(world.operator, intent("digits-3", number=2, waves=(Wave(devices=4),), version="3"))
    with pytest.raises(RolloutError, match="digits-3 has brought digits 3 since"):
        approve(world.watch("last"), KEY, "digits-2")


def test_a_rollout_that_waits_for_nobody_says_so(world: World) -> None:
    publish(world.operator, intent("digits-3", number=2))
    with pytest.raises(RolloutError, match="waits for nobody's word: it is RUNNING in wave 1 of 3"):
        approve(world.watch(), KEY, "digits-3")
