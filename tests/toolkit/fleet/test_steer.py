"""Steering: waves reach the devices, a death costs nothing, two drivers do no harm, forgeries count for nothing."""

from __future__ import annotations

import threading

import pytest
from msgspec import structs

from tests.toolkit.fleet.pretend import (
    KEY,
    KEYRING,
    NEW,
    OLD,
    STRANGER,
    TOPICS,
    World,
    entry,
    feed,
    intent,
    publish,
    publish_desired,
    said_by,
)
from toolkit.fleet.steer import REPAIR_SECONDS, TAKEOVER_SECONDS, Steering
from toolkit.link.link import Arrived
from toolkit.link.memory_link import MemoryLink
from toolkit.protocol.waves import RolloutState
from toolkit.wire.desired import decode_desired
from toolkit.wire.document import encode_json
from toolkit.wire.report import ModelReport, Report
from toolkit.wire.signature import seal, unseal
from toolkit.wire.states import InstallState
from toolkit.wire.topics import Topics


@pytest.fixture
def world() -> World:
    """Four devices that run digits 1."""
    world = World()
    world.add("a", "b", "c", "d")
    for device in world.devices:
        publish_desired(world.operator, device, (entry(),))
    world.turn()
    assert set(world.versions().values()) == {"1"}
    return world


def numbers(world: World) -> dict[str, list[int]]:
    return {name: [desired.seq for desired in device.seen] for name, device in world.devices.items()}


def test_waves_reach_everybody_one_after_the_other(world: World) -> None:
    rollout, driver = intent(), world.driver()
    publish(world.operator, rollout)
    reached = []
    for _ in range(12):
        world.turn(driver)
        reached.append(sum(version == "2" for version in world.versions().values()))
    assert list(dict.fromkeys(reached)) == [1, 2, 4]
    assert driver.progress["digits-2"].state is RolloutState.SUCCEEDED
    first = rollout.spec.devices[0]
    assert world.devices[first].obeyed[-1].models == (entry(version="2", artifact=NEW, rollout="digits-2"),)
    assert set(map(tuple, numbers(world).values())) == {(1, 2)}, "one document for each change, no more"


def test_what_is_wanted_now_is_told_so(world: World) -> None:
    rollout = intent()
    hurried = structs.replace(rollout, format=0, spec=structs.replace(rollout.spec, now=True))
    assert (rollout.format, hurried.format) == (1, 2)
    publish(world.operator, hurried)
    world.until_quiet(world.driver())
    first = world.devices[rollout.spec.devices[0]].obeyed[-1]
    assert (first.models[0].now, first.format) == (True, 2)


def test_nothing_is_written_while_nothing_changes(world: World) -> None:
    publish(world.operator, intent())
    driver = world.driver()
    world.until_quiet(driver)
    before = numbers(world)
    for _ in range(5):
        world.turn(driver, seconds=60)
    assert numbers(world) == before


def test_other_models_of_a_device_stay(world: World) -> None:
    other = entry("voices", "7", OLD, "voices-7")
    publish_desired(world.operator, "a", (entry(), other), seq=5)
    world.turn()
    driver = world.driver()
    publish(world.operator, intent())
    world.until_quiet(driver)
    assert world.devices["a"].obeyed[-1].models == (
        entry(version="2", artifact=NEW, rollout="digits-2"),
        other,
    )
    assert world.devices["a"].obeyed[-1].seq == 6


def test_two_models_are_merged_into_one_document_of_a_device(world: World) -> None:
    publish(world.operator, intent())
    publish(world.operator, intent("voices-1", model="voices", version="1", number=2, devices=("a", "b")))
    driver = world.driver()
    world.until_quiet(driver)
    assert [each.model for each in world.devices["a"].obeyed[-1].models] == ["digits", "voices"]
    assert [each.model for each in world.devices["c"].obeyed[-1].models] == ["digits"]
    assert {each.state for each in driver.progress.values()} == {RolloutState.SUCCEEDED}


def test_a_refusal_ends_it_and_the_old_version_goes_on(world: World) -> None:
    rollout, driver = intent(), world.driver()
    canary = rollout.spec.devices[0]
    world.devices[canary].refuses = {NEW}
    publish(world.operator, rollout)
    world.until_quiet(driver)
    assert driver.progress["digits-2"].state is RolloutState.FAILED
    assert set(world.versions().values()) == {"1"}
    assert {name for name, device in world.devices.items() if len(device.seen) > 1} == {canary}


def test_devices_that_were_told_and_have_not_answered_are_taken_back(world: World) -> None:
    rollout, driver = intent(waves=()), world.driver()
    refuser, silent = rollout.spec.devices[:2]
    world.devices[refuser].refuses = {NEW}
    world.devices[silent].deaf = True
    publish(world.operator, rollout)
    world.until_quiet(driver)
    assert driver.progress["digits-2"].state is RolloutState.FAILED
    back = world.devices[silent].obeyed[-1].models
    assert back == (entry(rollout="digits-2"),), "back to version 1, asked for by this rollout"
    assert world.devices[refuser].obeyed[-1].models[0].artifact == NEW, "the refusal stays as evidence"


def test_a_rollback_brings_the_previous_version_to_all(world: World) -> None:
    driver = world.driver()
    publish(world.operator, intent())
    world.until_quiet(driver)
    publish(world.operator, intent(action="rollback", seq=2))
    world.until_quiet(driver)
    assert set(world.versions().values()) == {"1"}
    assert driver.progress["digits-2"].state is RolloutState.ROLLED_BACK


def test_a_rollback_without_a_previous_version_removes_the_model(world: World) -> None:
    driver = world.driver()
    nothing_before = {"previous_version": "", "previous_artifact": ""}
    publish(world.operator, intent(**nothing_before))
    world.until_quiet(driver)
    publish(world.operator, intent(action="rollback", seq=2, **nothing_before))
    world.until_quiet(driver)
    assert all(device.obeyed[-1].models == () for device in world.devices.values())


def test_followers_come_after_everybody_and_go_back_with_the_others(world: World) -> None:
    """Servers of a service: a version that some device refuses never reaches those whom people ask directly."""
    world.add("answers")
    driver = world.driver()
    publish(world.operator, intent(followers=("answers",)))
    for _ in range(12):
        world.turn(driver)
        versions = world.versions()
        if versions.pop("answers") == "2":
            assert set(versions.values()) == {"2"}
            break
    else:
        pytest.fail("the follower never got it")
    assert driver.progress["digits-2"].state is RolloutState.SUCCEEDED
    publish(world.operator, intent(action="rollback", seq=2, followers=("answers",)))
    world.until_quiet(driver)
    assert set(world.versions().values()) == {"1"}
    assert len(world.devices["answers"].seen) == 2


def test_a_rollout_that_failed_leaves_its_followers_alone(world: World) -> None:
    world.add("answers")
    refuser = intent().spec.devices[0]
    world.devices[refuser].refuses.add(NEW)
    driver = world.driver()
    publish(world.operator, intent(followers=("answers",)))
    world.until_quiet(driver)
    assert driver.progress["digits-2"].state is RolloutState.FAILED
    assert world.devices["answers"].seen == []


def test_pause_holds_the_next_wave_until_resume(world: World) -> None:
    driver = world.driver()
    publish(world.operator, intent(soak_seconds=30.0))
    world.until_quiet(driver)
    publish(world.operator, intent(soak_seconds=30.0, action="pause", seq=2))
    for _ in range(5):
        world.turn(driver, seconds=60)
    assert sorted(world.versions().values()) == ["1", "1", "1", "2"]
    publish(world.operator, intent(soak_seconds=30.0, seq=3))
    for _ in range(10):
        world.turn(driver, seconds=60)
    assert set(world.versions().values()) == {"2"}


def test_only_the_newest_rollout_of_a_model_is_steered(world: World) -> None:
    third = {"version": "3", "artifact": OLD, "number": 2}
    publish(world.operator, intent())
    publish(world.operator, intent("digits-3", devices=("a", "b"), **third))
    driver = world.driver()
    world.until_quiet(driver)
    assert list(driver.progress) == ["digits-3"]
    assert world.versions() == {"a": "3", "b": "3", "c": "1", "d": "1"}


def test_a_refusal_of_an_earlier_rollout_does_not_count_for_a_new_one_of_the_same_version(
    world: World,
) -> None:
    driver, rollout = world.driver(), intent()
    canary = world.devices[rollout.spec.devices[0]]
    canary.refuses = {NEW}
    publish(world.operator, rollout)
    world.until_quiet(driver)
    canary.refuses = set()
    publish(world.operator, intent("again", number=2))
    world.until_quiet(driver)
    assert driver.progress["again"].state is RolloutState.SUCCEEDED
    assert set(world.versions().values()) == {"2"}


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 4, 5, 6])
def test_another_driver_goes_on_where_one_died(world: World, turns: int) -> None:
    publish(world.operator, intent())
    first = world.driver()
    for _ in range(turns):
        world.turn(first)
    world.broker.kill(first.watch.link)
    second = world.driver("second")
    world.until_quiet(second)
    assert second.progress["digits-2"].state is RolloutState.SUCCEEDED
    assert set(world.versions().values()) == {"2"}
    assert set(map(tuple, numbers(world).values())) == {(1, 2)}, "no number twice, and no document twice"


def test_a_driver_that_dies_in_a_soak_is_followed_by_one_that_stays_in_that_wave(world: World) -> None:
    publish(world.operator, intent(soak_seconds=100.0))
    first = world.driver()
    world.until_quiet(first)
    world.turn(first, seconds=101)
    world.until_quiet(first)
    assert sorted(world.versions().values()) == ["1", "1", "2", "2"]
    world.broker.kill(first.watch.link)
    second = world.driver("second")
    world.until_quiet(second)
    assert (second.progress["digits-2"].state, second.progress["digits-2"].wave) == (RolloutState.SOAKING, 1)
    for _ in range(5):
        world.turn(second, seconds=101)
    assert set(world.versions().values()) == {"2"}


def test_two_drivers_do_no_harm(world: World) -> None:
    first, second = world.driver("one"), world.driver("two")
    publish(world.operator, intent())
    world.until_quiet(first, second)
    assert set(world.versions().values()) == {"2"}
    assert second.term > first.term
    for device in world.devices.values():
        obeyed = [desired.seq for desired in device.obeyed]
        assert obeyed == sorted(set(obeyed))
        assert device.obeyed[-1].models == (entry(version="2", artifact=NEW, rollout="digits-2"),)


def test_the_driver_with_the_older_term_stands_by_and_steps_in_when_the_other_is_gone(world: World) -> None:
    old, new = world.driver("old"), world.driver("new")
    publish(world.operator, intent(soak_seconds=10.0))
    world.turn(old)
    world.turn(new)
    old_term = old.term
    publish_desired(world.operator, "x", (entry(),), fence=new.term)
    feed(old)
    assert old.standing_by
    world.until_quiet(new, old)
    world.broker.kill(new.watch.link)
    published = world.connected()
    published.subscribe(TOPICS.desired("+"))
    said_by(published, lambda _: True)
    world.turn(old, seconds=11)
    world.turn(old, seconds=TAKEOVER_SECONDS - 1)
    assert said_by(published, lambda _: True) == [], "the active driver gets its time"
    world.turn(old, seconds=2)
    assert not old.standing_by
    assert old.term > max(new.term, old_term)
    for _ in range(8):
        world.turn(old, seconds=11)
    assert set(world.versions().values()) == {"2"}


def test_a_rollout_that_a_stranger_sealed_moves_nothing(world: World) -> None:
    publish(world.operator, intent(), key=STRANGER)
    driver = world.driver()
    world.until_quiet(driver)
    assert set(world.versions().values()) == {"1"}
    assert "not trusted as operator" in driver.watch.retained.ignored[TOPICS.rollout("digits-2")]


def test_a_registry_key_is_no_operator_key(world: World) -> None:
    registry_only = KEYRING.__class__(
        keys=(KEYRING.keys[0].__class__(public=KEYRING.keys[0].public, roles=("registry",)),)
    )
    driver = Steering(MemoryLink(world.broker), TOPICS, KEY, registry_only, quiet_seconds=0)
    driver.begin()
    driver.watch.link.connect()
    publish(world.operator, intent())
    world.until_quiet(driver)
    assert driver.progress == {}


def test_a_forged_desired_state_is_written_over_once_and_without_a_fight(world: World) -> None:
    driver = world.driver()
    publish(world.operator, intent())
    world.until_quiet(driver)
    seen = world.connected()
    seen.subscribe(TOPICS.desired("a"))
    said_by(seen, lambda _: True)
    for _ in range(3):
        publish_desired(world.operator, "a", (entry(version="666"),), seq=99, fence=2**40, key=STRANGER)
        world.turn(driver)
    assert len(said_by(seen, lambda _: True)) == 3, "only the stranger's: we do not fight"
    world.until_quiet(driver, seconds=REPAIR_SECONDS)
    ours = said_by(seen, lambda _: True)
    assert len(ours) == 1
    desired = decode_desired(unseal(ours[0].payload, "desired", KEYRING, what="x"), "a")
    assert (desired.seq, desired.models) == (3, (entry(version="2", artifact=NEW, rollout="digits-2"),))
    assert not driver.standing_by, "a stranger's term counts for nothing"


def test_an_old_desired_state_that_somebody_put_back_is_replaced(world: World) -> None:
    driver = world.driver()
    recorder = world.connected()
    recorder.subscribe(TOPICS.desired("a"))
    old = said_by(recorder, lambda _: True)[0]
    publish(world.operator, intent())
    world.until_quiet(driver)
    world.operator.publish(TOPICS.desired("a"), old.payload, qos=1, retain=True)
    world.until_quiet(driver, seconds=REPAIR_SECONDS)
    assert world.devices["a"].obeyed[-1].seq == 3
    assert world.devices["a"].obeyed[-1].models[0].version == "2"


def test_a_number_is_above_what_the_device_has_obeyed_even_when_the_broker_forgot(world: World) -> None:
    report = Report(device="a", seq=9, desired_seq=41, models=())
    world.operator.publish(TOPICS.state("a"), encode_json(report), qos=1, retain=True)
    world.operator.publish(TOPICS.desired("a"), b"", qos=1, retain=True)
    publish(world.operator, intent(devices=("a",)))
    driver = world.driver()
    world.turn(driver)
    world.turn(driver)
    assert world.devices["a"].obeyed[-1].seq == 42


def test_a_report_on_another_devices_topic_counts_for_nobody(world: World) -> None:
    rollout, driver = intent(), world.driver()
    canary = rollout.spec.devices[0]
    world.devices[canary].deaf = True
    publish(world.operator, rollout)
    world.until_quiet(driver)
    said = ModelReport(
        model="digits", state=InstallState.ACTIVE, version="2", artifact=NEW, rollout="digits-2"
    )
    lie = encode_json(Report(device=canary, seq=2, desired_seq=2, models=(said,)))
    world.operator.publish(TOPICS.state("zebra"), lie, qos=1, retain=True)
    world.until_quiet(driver)
    assert driver.progress["digits-2"].wave == 0
    assert "speaks for" in driver.watch.retained.ignored[TOPICS.state("zebra")]


def test_other_events_of_a_shared_link_are_passed_over(world: World) -> None:
    driver = Steering(world.connected(), TOPICS, KEY, KEYRING, quiet_seconds=0)
    driver.begin(connected=True)
    driver.watch.link.subscribe(TOPICS.request("+"))
    driver.watch.link.subscribe(Topics("south").state("+"))
    feed(driver)
    world.operator.publish(TOPICS.request("a"), b"request")
    world.operator.publish(Topics("south").state("a"), b"report")
    taken = [driver.handle(event) for event in [driver.watch.link.events.get_nowait() for _ in range(2)]]
    assert taken == [False, False]
    assert driver.watch.retained.ignored_count == 0
    driver.tick(0.0)
    assert driver.term, "it has settled by the echo that `connected` asked for"


def test_nothing_is_written_while_the_broker_is_away(world: World) -> None:
    driver = world.driver()
    world.until_quiet(driver)
    publish(world.operator, intent())
    world.broker.cut()
    feed(driver)
    assert list(driver.watch.retained.rollouts) == ["digits-2"]
    assert driver.tick(5.0) == 0
    world.broker.restore()
    world.until_quiet(driver, seconds=1)
    assert set(world.versions().values()) == {"2"}


def test_nothing_is_written_before_everything_retained_has_come(world: World) -> None:
    driver = Steering(MemoryLink(world.broker), TOPICS, KEY, KEYRING, quiet_seconds=0)
    driver.begin()
    payload = seal(encode_json(intent()), "rollout", KEY)
    driver.handle(Arrived(TOPICS.rollout("digits-2"), payload, retained=True))
    assert (driver.tick(5.0), driver.term) == (0, 0)


def test_an_old_desired_state_is_replaced_even_when_it_says_the_same(world: World) -> None:
    models = (entry(version="2", artifact=NEW, rollout="digits-2"),)
    publish(world.operator, intent(devices=("a",)))
    driver = world.driver()
    for seq in (3, 7):
        publish_desired(world.operator, "a", models, seq=seq)
    world.until_quiet(driver)
    assert world.devices["a"].obeyed[-1].seq == 7
    publish_desired(world.operator, "a", models, seq=3)
    world.until_quiet(driver)
    assert world.devices["a"].obeyed[-1].seq == 8, "a new device must not learn an old number"


def test_runs_as_a_process_of_its_own_until_it_is_told_to_stop(world: World, wait_until) -> None:
    driver = Steering(MemoryLink(world.broker), TOPICS, KEY, KEYRING, quiet_seconds=0)
    stop = threading.Event()
    thread = threading.Thread(target=driver.run, args=(stop,))
    thread.start()
    publish(world.operator, intent())

    def done() -> bool:
        world.turn()
        return set(world.versions().values()) == {"2"}

    wait_until(done, "version 2 is everywhere")
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    assert not driver.watch.link.online
