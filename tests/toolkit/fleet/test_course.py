"""Courses: what a driver knows and no report says outlives it, and another one goes on from there."""

from __future__ import annotations

import pytest

from tests.toolkit.fleet.pretend import (
    KEY,
    NEW,
    STRANGER,
    TOPICS,
    World,
    entry,
    feed,
    intent,
    publish,
    publish_desired,
)  # fmt: skip
from toolkit.errors import IntegrityError
from toolkit.fleet.course import course_of, progress_of, with_verdict
from toolkit.fleet.steer import NOTE_SECONDS, REPAIR_SECONDS, Steering
from toolkit.protocol.waves import Progress, RolloutState
from toolkit.wire.course import Course, decode_course
from toolkit.wire.document import encode_json
from toolkit.wire.report import ModelReport, Presence, Report, Served
from toolkit.wire.rollout import Measured, Retry
from toolkit.wire.signature import seal
from toolkit.wire.states import InstallState


@pytest.fixture
def world() -> World:
    """Four devices that run digits 1."""
    world = World()
    world.add("a", "b", "c", "d")
    for device in world.devices:
        publish_desired(world.operator, device, (entry(),))
    world.turn()
    return world


def kill(world: World, driver: Steering) -> None:
    world.broker.kill(driver.watch.link)


def course(world: World, name: str = "digits-2") -> Course | None:
    return world.watch().retained.courses.get(name)


def put_course(world: World, written: Course, key=KEY) -> None:
    sealed = seal(encode_json(written), "course", key)
    world.operator.publish(TOPICS.course(written.rollout), sealed, qos=1, retain=True)


def tell_served(world: World, device: str, served: Served) -> None:
    """Let a device say how its requests went."""
    held = world.devices[device]
    held.seq += 1
    said = ModelReport(
        model="digits", state=InstallState.ACTIVE, version="2", artifact=NEW, rollout="digits-2",
        serving_version="2", served=served,
    )  # fmt: skip
    report = Report(device=device, seq=held.seq, desired_seq=held.obeyed[-1].seq, models=(said,))
    world.operator.publish(TOPICS.state(device), encode_json(report), qos=1, retain=True)


def test_progress_comes_back_on_another_clock() -> None:
    rollout = intent()
    progress = Progress(
        state=RolloutState.SOAKING, wave=1, soak_since=50.0, told=2, credit=0.25, began=10.0, wave_since=40.0, at=60.0
    )  # fmt: skip
    written = course_of(rollout, progress, 60.0, fence=7, seq=1)
    assert (written.ran_seconds, written.wave_seconds, written.soak_seconds) == (50.0, 20.0, 10.0)
    again = progress_of(rollout, written, 1000.0)
    assert (again.began, again.wave_since, again.soak_since) == (950.0, 980.0, 990.0)
    assert (again.state, again.wave, again.told, again.credit) == (RolloutState.SOAKING, 1, 2, 0.25)
    assert progress_of(intent(number=2), written, 1000.0) == Progress(), "another rollout of the same name"
    assert with_verdict(rollout, Progress(), written).wave == 1


def test_a_course_with_a_figure_that_means_nothing_is_refused() -> None:
    bad = Course(rollout="digits-2", number=1, fence=1, seq=1, state="RUNNING", ran_seconds=-1.0)
    with pytest.raises(IntegrityError, match="means nothing"):
        decode_course(encode_json(bad))


def test_the_next_driver_goes_on_with_a_soak_and_does_not_begin_it_again(world: World) -> None:
    publish(world.operator, intent(soak_seconds=1000.0))
    first = world.driver()
    world.until_quiet(first)
    for _ in range(9):
        world.turn(first, seconds=100)
    kill(world, first)
    second = world.driver("second")
    world.until_quiet(second)
    assert second.progress["digits-2"].state is RolloutState.SOAKING
    world.turn(second, seconds=100 + NOTE_SECONDS)
    world.turn(second)
    assert sorted(world.versions().values()) == ["1", "1", "2", "2"], "the second wave has begun"


def test_a_deadline_counts_time_under_drivers_and_no_clock_of_theirs_has_to_be_right(world: World) -> None:
    rollout = intent(deadline_seconds=1000.0)
    silent = rollout.spec.devices[0]
    world.devices[silent].deaf = True
    publish(world.operator, rollout)
    first = world.driver()
    for _ in range(6):
        world.turn(first, seconds=100)
    kill(world, first)
    world.wall += 365 * 24 * 3600
    world.now += 1e7  # the next machine has been up for much longer, and its date is a year ahead
    second = world.driver("second")
    world.until_quiet(second)
    assert second.progress["digits-2"].state is RolloutState.RUNNING
    world.turn(second, seconds=300)
    assert second.progress["digits-2"].state is RolloutState.RUNNING
    world.turn(second, seconds=300)
    assert second.progress["digits-2"].state is RolloutState.TIMED_OUT
    assert f"4 of 4 devices do not have it after 1,000 s: {silent}" in second.progress["digits-2"].why
    world.until_quiet(second)
    assert course(world).why == second.progress["digits-2"].why


def test_what_the_gates_said_stays_when_the_version_and_its_figures_are_gone(world: World) -> None:
    rollout = intent(
        measured=Measured(error_rate=0.01, requests=100), on_failure="take-back", soak_seconds=60.0
    )
    canary = rollout.spec.devices[0]
    publish(world.operator, rollout)
    first = world.driver()
    world.until_quiet(first)
    assert world.versions()[canary] == "2"
    tell_served(world, canary, Served(requests=1000, failures=31))
    world.until_quiet(first)
    assert world.versions()[canary] == "1"
    assert first.progress["digits-2"].state is RolloutState.FAILED
    kill(world, first)
    second = world.driver("second")
    for _ in range(5):
        world.turn(second, seconds=100)
    world.until_quiet(second)
    assert second.progress["digits-2"].state is RolloutState.FAILED
    assert second.progress["digits-2"].why == "error rate 3.1 % of 1,000 requests, limit 1 %"
    assert set(world.versions().values()) == {"1"}, "nobody is sent into the same again"


def test_the_verdict_is_written_before_anybody_is_taken_back(world: World) -> None:
    rollout = intent(
        measured=Measured(error_rate=0.01, requests=1), on_failure="take-back", soak_seconds=60.0
    )
    publish(world.operator, rollout)
    driver = world.driver()
    world.until_quiet(driver)
    recorder = world.connected()
    recorder.subscribe(TOPICS.course("+"))
    recorder.subscribe(TOPICS.desired("+"))
    while not recorder.events.empty():
        recorder.events.get_nowait()
    tell_served(world, rollout.spec.devices[0], Served(requests=10, failures=10))
    feed(driver)
    driver.tick(world.now)
    topics = [recorder.events.get_nowait().topic for _ in range(recorder.events.qsize())]
    assert topics == [TOPICS.course("digits-2"), TOPICS.desired(rollout.spec.devices[0])]


def test_a_course_that_the_broker_lost_is_written_again(world: World) -> None:
    publish(world.operator, intent())
    driver = world.driver()
    world.until_quiet(driver)
    written = course(world)
    world.operator.publish(TOPICS.course("digits-2"), b"", qos=1, retain=True)
    world.until_quiet(driver)
    assert course(world) is None, "not in a hurry: it might be a fight"
    world.turn(driver, seconds=REPAIR_SECONDS)
    assert (course(world).state, course(world).told) == (written.state, written.told)


def test_a_course_of_a_higher_term_makes_a_driver_stand_by(world: World) -> None:
    publish(world.operator, intent(soak_seconds=1000.0))
    driver = world.driver()
    world.until_quiet(driver)
    newer = Course(
        rollout="digits-2", number=1, fence=driver.term + 1, seq=1, state="FAILED", why="seen elsewhere"
    )
    put_course(world, newer)
    feed(driver)
    assert driver.standing_by
    driver.tick(world.now + 2)
    assert driver.progress["digits-2"].why == "seen elsewhere", "it decides nothing else any more"


def test_a_course_that_a_stranger_sealed_counts_for_nothing(world: World) -> None:
    publish(world.operator, intent())
    put_course(
        world, Course(rollout="digits-2", number=1, fence=2**40, seq=1, state="FAILED", why="no"), STRANGER
    )
    driver = world.driver()
    world.until_quiet(driver)
    assert driver.progress["digits-2"].state is RolloutState.SUCCEEDED
    assert not driver.standing_by


def test_an_ended_rollout_is_not_written_again_by_every_new_driver(world: World) -> None:
    publish(world.operator, intent())
    driver = world.driver()
    world.until_quiet(driver)
    written = course(world)
    assert written.state == "SUCCEEDED"
    kill(world, driver)
    second = world.driver("second")
    for _ in range(5):
        world.turn(second, seconds=100)
    assert course(world) == written


def test_a_device_that_failed_is_asked_again_under_a_new_name(world: World) -> None:
    rollout = intent(retry=Retry(attempts=3, codes=("golden-mismatch",)))
    canary = rollout.spec.devices[0]
    world.devices[canary].refuses = {NEW}
    publish(world.operator, rollout)
    driver = world.driver()
    world.until_quiet(driver)
    names = [desired.models[0].rollout for desired in world.devices[canary].obeyed[1:]]
    assert names == ["digits-2", "digits-2~2", "digits-2~3"]
    assert driver.progress["digits-2"].state is RolloutState.FAILED


def test_a_device_that_gets_better_at_its_second_attempt_keeps_the_name(world: World) -> None:
    rollout = intent(retry=Retry(attempts=2))
    canary = world.devices[rollout.spec.devices[0]]
    canary.refuses = {NEW}
    publish(world.operator, rollout)
    first = world.driver()
    while canary.obeyed[-1].models[0].rollout != "digits-2":
        world.turn(first)
    canary.refuses = set()
    kill(world, first)
    second = world.driver("second")
    world.until_quiet(second)
    assert second.progress["digits-2"].state is RolloutState.SUCCEEDED
    assert canary.obeyed[-1].models[0].rollout == "digits-2~2"


def test_who_is_offline_gets_the_version_days_later_and_what_is_current_then(world: World) -> None:
    rollout = intent(offline_grace_seconds=3600.0)
    away = rollout.spec.devices[3]
    kept = world.devices.pop(away)
    offline = encode_json(Presence(device=away, state="offline"))
    world.operator.publish(TOPICS.presence(away), offline, qos=1, retain=True)
    publish(world.operator, rollout)
    driver = world.driver()
    for _ in range(10):
        world.turn(driver)
    assert driver.progress["digits-2"].state is RolloutState.RUNNING
    world.turn(driver, seconds=3600)
    assert driver.progress["digits-2"].state is RolloutState.SUCCEEDED
    kill(world, driver)
    second = world.driver("second")
    world.turn(second, seconds=5 * 24 * 3600)
    world.devices[away] = kept
    online = encode_json(Presence(device=away, state="online"))
    world.operator.publish(TOPICS.presence(away), online, qos=1, retain=True)
    world.until_quiet(second)
    assert world.versions()[away] == "2"


def test_a_driver_believes_a_broker_that_has_forgotten_everything(world: World) -> None:
    """Its memory must not steer what nobody asks for any more, nor keep a new beginning from counting."""
    publish(world.operator, intent("digits-3", number=9, version="3"))
    driver = world.driver()
    world.until_quiet(driver)
    world.broker.cut()
    world.broker.forget()
    world.broker.restore()
    world.turn(driver, seconds=2)
    retained = driver.watch.retained
    assert (retained.rollouts, retained.courses, retained.desired, driver.progress) == ({}, {}, {}, {})
    publish(world.operator, intent())
    world.until_quiet(driver, seconds=1)
    assert driver.progress["digits-2"].state is RolloutState.SUCCEEDED
    assert set(world.versions().values()) == {"2"}
    for device in world.devices.values():
        assert [desired.seq for desired in device.obeyed] == sorted(
            {desired.seq for desired in device.obeyed}
        )
