"""Follow: it waits for the end, tells each change once, and says what the end means and what to type next."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from tests.toolkit.fleet.pretend import NEW, TOPICS, World, entry, intent, publish, publish_desired
from toolkit.errors import GateRefusedError, RolloutError
from toolkit.fleet.follow import follow, verdict
from toolkit.fleet.status import RolloutRow, rollout_row


@pytest.fixture
def world() -> World:
    """Four devices that run digits 1."""
    world = World()
    world.add("a", "b", "c", "d")
    for device in world.devices:
        publish_desired(world.operator, device, (entry(),))
    world.turn()
    return world


def row(world: World, name: str = "digits-2") -> RolloutRow:
    retained = world.watch().retained
    return rollout_row(retained, retained.rollouts[name])


def test_follow_waits_for_the_end_and_tells_each_change_once(world: World) -> None:
    publish(world.operator, intent(soak_seconds=0.05))
    driver, stop = world.driver(), threading.Event()

    def live() -> None:
        while not stop.wait(0.005):
            world.turn(driver, seconds=0.02)

    lines: list[RolloutRow] = []
    watch = world.watch()
    thread = threading.Thread(target=live)
    thread.start()
    try:
        end = follow(watch, "digits-2", 100, lines.append)
    finally:
        stop.set()
        thread.join(60)
    assert (end.state, verdict(end, 100)) == ("SUCCEEDED", None)
    assert all(first != second for first, second in pairwise(lines))
    assert lines[0].state == "RUNNING"
    assert lines[-1] == end


def test_follow_gives_up_after_its_time_and_says_what_is_missing(world: World) -> None:
    rollout = intent()
    silent = rollout.spec.devices[0]
    world.devices[silent].deaf = True
    publish(world.operator, rollout)
    watch = world.watch()
    nobody = verdict(follow(watch, "digits-2", 0.05), 0.05)
    assert f"nobody has told {silent} yet" in nobody.message
    assert "tiers depot --steer" in nobody.hint
    world.until_quiet(world.driver())
    assert watch.wait_for(watch.link.events.empty, 60), "it has heard everything before its short look begins"
    waiting = verdict(follow(watch, "digits-2", 0.1), 0.1)
    assert waiting.message.endswith(f"is RUNNING in wave 1 of 3 after 0 s: no answer from {silent}")
    assert waiting.exit_code == 1


def test_follow_says_that_a_rollout_was_cleared(world: World) -> None:
    publish(world.operator, intent())
    watch = world.watch()
    world.operator.publish(TOPICS.rollout("digits-2"), b"", qos=1, retain=True)
    with pytest.raises(RolloutError, match="was cleared"):
        follow(watch, "digits-2", 60)


def test_a_refusal_names_device_and_reason_and_gives_7(world: World) -> None:
    rollout = intent()
    canary = rollout.spec.devices[0]
    world.devices[canary].refuses = {NEW}
    publish(world.operator, rollout)
    driver = world.driver()
    world.until_quiet(driver)
    seen = row(world)
    assert (seen.state, seen.refused, seen.active) == ("FAILED", 1, 0)
    error = verdict(seen, 1.0)
    assert isinstance(error, GateRefusedError)
    assert f"was refused by {canary} (golden-mismatch: output y is off by 0.9)" in error.message
    assert "tiers rollout status digits-2" in error.hint


def test_paused_and_aborted_end_a_wait_with_the_next_command(world: World) -> None:
    publish(world.operator, intent(action="pause"))
    assert verdict(row(world), 1.0).hint == "tiers rollout resume digits-2"
    publish(world.operator, intent(action="abort", seq=2))
    error = verdict(row(world), 1.0)
    assert isinstance(error, RolloutError)
    assert (row(world).ended, error.hint) == (True, "tiers rollout start digits")
