"""Status: rows from what stands retained, the same answer as a driver's, and nothing that writes on terminals."""

from __future__ import annotations

import pytest

from tests.toolkit.fleet.pretend import NEW, OLD, TOPICS, World, entry, intent, publish, publish_desired
from toolkit.fleet.follow import verdict
from toolkit.fleet.status import RolloutRow, fleet_status, rollout_row, rollout_rows
from toolkit.wire.document import encode_json
from toolkit.wire.report import ModelReport, Presence, Report
from toolkit.wire.rollout import Wave
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


def row(world: World, name: str = "digits-2") -> RolloutRow:
    retained = world.watch().retained
    return rollout_row(retained, retained.rollouts[name])


def test_devices_with_models_versions_and_bytes() -> None:
    world = World()
    said = ModelReport(
        model="digits",
        state=InstallState.DOWNLOADING,
        version="2",
        artifact=NEW,
        rollout="digits-2",
        serving_version="1",
        chunks_total=8,
        chunks_have=2,
        bytes_received=1234,
    )
    publish_desired(world.operator, "a", (entry(version="2", artifact=NEW), entry("voices", "7", OLD)))
    report = Report(device="a", seq=1, starts=3, models=(said,))
    world.operator.publish(TOPICS.state("a"), encode_json(report), retain=True)
    offline = encode_json(Presence(device="b", state="offline"))
    world.operator.publish(TOPICS.presence("b"), offline, retain=True)
    first, second, third = fleet_status(world.watch().retained).devices
    assert (first.device, first.online, first.model, first.state) == ("a", None, "digits", "DOWNLOADING")
    assert (first.version, first.serving_version, first.desired_version) == ("2", "1", "2")
    assert (first.progress, first.bytes_received, first.starts) == (0.25, 1234, 3)
    assert (second.model, second.state, second.desired_version) == ("voices", "", "7")
    assert (third.device, third.online, third.model) == ("b", False, "")


def test_what_a_device_says_cannot_write_on_the_terminal() -> None:
    world = World()
    evil = "\x1b[2J\rgone\n" + "x" * 5000
    said = ModelReport(model="digits", state=InstallState.FAILED, artifact=NEW, code=evil, reason=evil)
    report = Report(device="a", seq=1, models=(said,))
    world.operator.publish(TOPICS.state("a"), encode_json(report), retain=True)
    publish(world.operator, intent(devices=("a",)))
    found = fleet_status(world.watch().retained)
    error = verdict(found.rollouts[0], 1.0)
    assert error is not None
    for text in (found.devices[0].code, found.devices[0].reason, error.message):
        assert text.isprintable()
        assert len(text) < 800


def test_a_device_that_counts_nonsense_has_a_share_between_0_and_1() -> None:
    world = World()
    for device, have, total in [("a", 9, 3), ("b", -9, 3), ("c", 3, -1)]:
        said = ModelReport(model="digits", state=InstallState.IDLE, chunks_have=have, chunks_total=total)
        report = Report(device=device, seq=1, models=(said,))
        world.operator.publish(TOPICS.state(device), encode_json(report), retain=True)
    assert [row.progress for row in fleet_status(world.watch().retained).devices] == [1.0, 0.0, 0.0]


def test_a_look_says_what_the_driver_says(world: World) -> None:
    publish(world.operator, intent())
    driver = world.driver()
    for _ in range(12):
        world.turn(driver)
        seen = row(world)
        held = driver.progress.get("digits-2")
        if held is not None and not any(device.link.events.qsize() for device in world.devices.values()):
            assert seen.wave >= held.wave + 1
    assert (seen.state, seen.wave, seen.active, seen.waiting) == ("SUCCEEDED", 3, 4, 0)


def test_before_anybody_steers_the_canary_is_missing_and_untold(world: World) -> None:
    rollout = intent()
    publish(world.operator, rollout)
    seen = row(world)
    assert (seen.state, seen.wave, seen.waves, seen.devices) == ("RUNNING", 1, 3, 4)
    assert seen.missing == seen.untold == (rollout.spec.devices[0],)


def test_a_soak_between_waves_shows_and_the_last_one_counts_as_over(world: World) -> None:
    publish(world.operator, intent(soak_seconds=60.0))
    driver = world.driver()
    world.until_quiet(driver)
    assert (row(world).state, row(world).wave) == ("SOAKING", 1)
    for _ in range(6):
        world.turn(driver, seconds=61)
    assert row(world).state == "SUCCEEDED"


def test_a_newer_rollout_supersedes(world: World) -> None:
    publish(world.operator, intent())
    publish(world.operator, intent("digits-3", number=2, version="3"))
    assert [each.state for each in fleet_status(world.watch().retained).rollouts] == ["RUNNING", "SUPERSEDED"]
    assert "is SUPERSEDED" in verdict(row(world), 1.0).message


def test_every_device_of_a_rollout_has_its_answer_and_every_wave_its_counts(world: World) -> None:
    rollout = intent(waves=(Wave(devices=2, label="site=north"), Wave(devices=4)), max_failed=1)
    refuser, silent = rollout.spec.devices[:2]
    world.devices[refuser].refuses = {NEW}
    world.devices[silent].deaf = True
    publish(world.operator, rollout)
    world.until_quiet(world.driver())
    seen = row(world)
    first, second, third, _ = seen.answers
    assert (first.device, first.wave, first.state, first.code) == (refuser, 1, "FAILED", "golden-mismatch")
    assert (second.state, second.attempt, second.online) == ("SILENT", 1, True)
    assert (third.wave, third.state, third.attempt) == (2, "", 0)
    assert [
        (each.label, each.devices, each.active, each.refused, each.waiting) for each in seen.wave_rows
    ] == [
        ("site=north", 2, 0, 1, 1),
        ("", 2, 0, 0, 0),
    ]
    assert [(each.text, each.broken) for each in seen.gates] == [("refused 1 of 1 devices, limit 1", False)]
    assert rollout_rows(world.watch().retained)[0].answers == ()


def test_a_look_shows_why_it_failed_and_what_the_driver_wrote_down(world: World) -> None:
    rollout = intent(deadline_seconds=100.0)
    world.devices[rollout.spec.devices[0]].deaf = True
    publish(world.operator, rollout)
    driver = world.driver()
    world.until_quiet(driver)
    world.turn(driver, seconds=101)
    world.until_quiet(driver)
    seen = row(world)
    assert seen.state == "TIMED_OUT"
    assert seen.why.startswith("4 of 4 devices do not have it after 100 s")
    assert verdict(seen, 1.0).exit_code == 7
