"""A real daemon, a real broker: a version is pulled, checked, activated and serves."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.broker


def test_a_device_pulls_a_version_and_serves_it(depot, device, keys) -> None:
    device.start()
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")
    assert device.infer([1, 0, 0, 0]) == ("v1", [0.0, 1.0, 2.0])
    assert device.stop() == 0
