"""Models that run in another version than tiers.yaml says, from the desired states that stand at the broker."""

from __future__ import annotations

import pytest

from tests.toolkit.fleet.pretend import NEW, OLD, World, entry, publish_desired
from toolkit.fleet.versions import version_differences


@pytest.fixture
def world() -> World:
    world = World()
    publish_desired(world.operator, "ultrasound-001", (entry("us-segmentation", "1.3.0", OLD),))
    publish_desired(world.operator, "ultrasound-002", (entry("us-segmentation", "1.3.0", OLD),))
    return world


def differences(world: World, topology) -> dict[str, str]:
    return {each.model: str(each) for each in version_differences(topology, world.watch().retained.desired)}


def test_each_model_in_another_version_is_named_with_the_command(world, hospital):
    said = differences(world, hospital)
    assert said == {
        "us-segmentation": "model us-segmentation: 1.3.0 on 2 live, 1.4.0 in tiers.yaml; "
        "next: tiers rollout start us-segmentation",
        "us-segmentation-lite": "model us-segmentation-lite: none live, 1.4.0 in tiers.yaml; "
        "next: tiers rollout start us-segmentation-lite",
    }


def test_a_rollout_under_way_shows_both_versions(world, hospital):
    publish_desired(world.operator, "ultrasound-002", (entry("us-segmentation", "1.4.0", NEW),))
    assert "1.3.0 on 1, 1.4.0 on 1 live" in differences(world, hospital)["us-segmentation"]


def test_a_model_in_its_version_everywhere_is_not_named(world, hospital):
    for device in ("ultrasound-001", "ultrasound-002"):
        models = (entry("us-segmentation", "1.4.0", NEW), entry("us-segmentation-lite", "1.4.0", OLD))
        publish_desired(world.operator, device, models)
    assert differences(world, hospital) == {}
