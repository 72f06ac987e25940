"""A device whose disk budget is used up: other models give up what nobody wants, and never what is served."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from tests.edge_runtime.conftest import MODEL, Keys, Made
from toolkit.protocol.offer import SPARE_BYTES
from toolkit.wire.device_config import ModelConfig

pytestmark = pytest.mark.broker
MIB = 1 << 20


def large(keys: Keys, name: str, version: str) -> Made:
    """Make a version of three MiB that have nothing in common with other versions."""
    ballast = np.random.default_rng([*name.encode(), *version.encode()]).bytes(3 * MIB)
    return keys.model(
        version, ballast=ballast, change=lambda manifest: msgspec.structs.replace(manifest, name=name)
    )


def test_a_withdrawn_model_makes_room_and_comes_back_when_it_is_wanted_again(
    depot, device, keys, wait_until
) -> None:
    models = (ModelConfig(name=MODEL), ModelConfig(name="other"))
    device.config = msgspec.structs.replace(
        device.config, models=models, disk_budget_bytes=SPARE_BYTES + 12 * MIB
    )
    device.write_config()
    device.start()
    first, second, other = large(keys, MODEL, "v1"), large(keys, MODEL, "v2"), large(keys, "other", "v1")
    depot.offer_as("other", other)
    depot.wait_for(lambda model: model.model == "other" and model.state.value == "ACTIVE")
    depot.offer(first)
    depot.wait_for(lambda model: model.model == MODEL and model.state.value == "ACTIVE")

    depot.offer(second)
    refused = depot.wait_for(lambda model: model.model == MODEL and model.code == "no-space")
    assert refused.serving_version == "v1"
    assert (device.state / "versions" / other.artifact).is_dir(), "what is wanted stays"

    del depot.models["other"]
    depot.offer(second, rollout="again")
    depot.wait_for(lambda model: model.model == MODEL and model.serving_version == "v2")
    told = [model for report in depot.history for model in report.models if model.rollout == "again"]
    assert not [model.code for model in told if model.code]
    assert not (device.state / "versions" / other.artifact).exists()
    assert (device.state / "versions" / first.artifact).is_dir()
    assert "other gives up" in device.log()

    device.config = msgspec.structs.replace(device.config, disk_budget_bytes=SPARE_BYTES + 40 * MIB)
    device.write_config()
    wait_until(lambda: "taken up: disk_budget_bytes" in device.log(), "the larger budget counts")
    depot.offer_as("other", other)
    depot.wait_for(lambda model: model.model == "other" and model.state.value == "ACTIVE")
    assert device.infer([1, 0, 0, 0])[0] == "v2"
