from __future__ import annotations

import pytest

from toolkit.topology.hardware import PROFILES


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_can_stand_in_a_pool(over_site, name):
    gpus = ", gpus: 4" if PROFILES[name].gpus is None else ""
    text = f"tiers: {{warm: {{pools: {{extra: {{hardware: {name}{gpus}, nodes: {{count: 1}}}}}}}}}}\n"
    assert over_site(text).topology.pool("extra").hardware == PROFILES[name]


def test_jetsons_are_arm_with_memory_shared_by_one_gpu():
    jetsons = {name: profile for name, profile in PROFILES.items() if profile.is_jetson}
    assert set(jetsons) == {"jetson-orin-nx", "jetson-orin-nano", "jetson-agx-orin", "jetson-nano"}
    for profile in jetsons.values():
        assert (profile.arch, profile.gpus, profile.gpu_memory) == ("arm64", 1, None)


def test_tensorrt_starts_at_jetpack_6():
    for profile in PROFILES.values():
        if profile.is_jetson:
            assert (profile.runtime == "tensorrt") == (profile.jetpack >= 6)


def test_the_old_nano_has_no_int8_and_gets_a_warning_that_says_why(over_site):
    assert "int8" not in PROFILES["jetson-nano"].precisions
    (warning,) = over_site("tiers: {edge: {pools: {nanos: {hardware: jetson-nano}}}}\n").warnings
    assert warning.code == "W0701"
    assert "TensorRT 8.2" in warning.why
    assert "offload" in warning.cure
