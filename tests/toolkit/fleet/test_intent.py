"""Intent: from tiers.yaml to devices, waves, a name and the version to go back to."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.toolkit.fleet.pretend import NEW, OLD, World, entry, intent, publish, publish_desired
from toolkit.errors import RolloutError
from toolkit.fleet.intent import (
    Known,
    candidates,
    default_name,
    is_under_way,
    model_named,
    next_number,
    version_before,
)
from toolkit.wire.digest import digest_of
from toolkit.wire.topics import check_label

THIRD = digest_of(b"version 3")


def test_the_devices_of_all_pools_with_names_from_counts(topology) -> None:
    site = topology(
        {"models": {"us-segmentation-lite": {"pools": ["ultrasound", "endoscopy"], "precision": "fp16"}}}
    )
    devices = candidates(site, "us-segmentation-lite").devices
    assert len(devices) == 122
    assert (devices[0], devices[119], devices[-1]) == ("ultrasound-001", "ultrasound-120", "endo-02")


def test_chosen_devices_each_once_and_only_of_the_pools(hospital) -> None:
    chosen = candidates(hospital, "us-segmentation", ["ultrasound-007", "ultrasound-001", "ultrasound-007"])
    assert chosen.devices == ("ultrasound-007", "ultrasound-001")
    with pytest.raises(RolloutError, match="'endo-01' is in no pool of model us-segmentation") as caught:
        candidates(hospital, "us-segmentation", ["endo-01"])
    assert "tiers rollout start us-segmentation" in caught.value.hint


def test_devices_on_hold_are_left_out(topology) -> None:
    hold = {"tiers": {"edge": {"pools": {"ultrasound": {"devices": {"ultrasound-002": {"hold": True}}}}}}}
    found = candidates(topology(hold), "us-segmentation")
    assert found.held == ("ultrasound-002",)
    assert len(found.devices) == 119
    with pytest.raises(RolloutError, match=r"on hold \(ultrasound-002\)"):
        candidates(topology(hold), "us-segmentation", ["ultrasound-002"])


def test_nobody_in_the_pools(topology) -> None:
    empty = topology({"tiers": {"edge": {"pools": {"ultrasound": {"nodes": {"count": 0}}}}}})
    with pytest.raises(RolloutError, match=r"its pools \(ultrasound\) have no device"):
        candidates(empty, "us-segmentation")


def test_a_model_that_is_not_there_or_has_another_name_in_the_registry(topology) -> None:
    with pytest.raises(RolloutError, match="did you mean 'us-segmentation'") as caught:
        model_named(topology(), "us-segmentatoin")
    assert "us-segmentation-lite" in caught.value.hint
    other = topology({"models": {"us-segmentation": {"source": "segmentation@1.4.0"}}})
    with pytest.raises(RolloutError, match="source named segmentation") as caught:
        model_named(other, "us-segmentation")
    assert "source: us-segmentation@1.4.0" in caught.value.hint


@given(
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True),
    st.from_regex(r"[0-9A-Za-z]([0-9A-Za-z.+_-]{0,62}[0-9A-Za-z])?", fullmatch=True),
    st.integers(1, 10**6),
)
def test_a_made_name_is_safe_in_a_topic(model: str, version: str, number: int) -> None:
    name = default_name(model, version, number)
    assert check_label(name, what="rollout") == name
    assert name.endswith(f"-{number}")
    assert re.fullmatch(r"[a-z0-9.-]+", name)


def test_a_made_name_reads_well() -> None:
    assert default_name("digits", "1.4.0+Build_7", 12) == "digits-1.4.0-build-7-12"


def test_numbers_grow_over_all_models() -> None:
    assert next_number([]) == 1
    assert next_number([intent(number=3), intent("x", model="voices", number=7)]) == 8


def before(world: World, artifact: str = THIRD) -> Known:
    retained = world.watch().retained
    return version_before(
        "digits",
        artifact,
        ("a", "b", "c", "d"),
        rollouts=retained.rollouts.values(),
        reports=retained.reports,
        desired=retained.desired,
        courses=retained.courses,
    )


@pytest.fixture
def world() -> World:
    world = World()
    world.add("a", "b", "c", "d")
    return world


def test_nothing_stood_before(world: World) -> None:
    assert before(world) == Known()


def test_the_version_before_is_what_most_devices_shall_run(world: World) -> None:
    for device, (version, artifact) in zip("abc", [("1", OLD), ("2", NEW), ("1", OLD)], strict=True):
        publish_desired(
            world.operator, device, (entry(version=version, artifact=artifact), entry("voices", "9", THIRD))
        )
    assert before(world) == Known("1", OLD)
    assert before(world, OLD) == Known("2", NEW), "never the new one itself"


def test_after_a_good_rollout_it_is_that_one(world: World) -> None:
    publish(world.operator, intent())
    driver = world.driver()
    world.until_quiet(driver)
    assert before(world) == Known("2", NEW)
    assert before(world, NEW) == Known("1", OLD), "the same version again: what stood before it"


def test_after_a_rollout_that_has_told_nobody_yet(world: World) -> None:
    publish(world.operator, intent())
    assert before(world) == Known("2", NEW)


def test_after_a_rollout_that_failed_it_is_the_one_before(world: World) -> None:
    rollout = intent()
    for device in world.devices.values():
        device.refuses = {NEW}
    publish(world.operator, rollout)
    driver = world.driver()
    world.until_quiet(driver)
    retained = world.watch().retained
    assert not is_under_way(rollout, retained.reports, retained.desired)
    assert before(world) == Known("1", OLD), "though the canary's desired state still names version 2"


@pytest.mark.parametrize("action", ["abort", "rollback"])
def test_after_a_rollout_that_was_stopped_it_is_the_one_before(world: World, action) -> None:
    publish(world.operator, intent(action=action))
    assert before(world) == Known("1", OLD)
