"""A real daemon waits for its window, for a clock that it can trust, and while it is held; and goes on afterwards."""

from __future__ import annotations

import msgspec
import pytest

from tests.edge_runtime.conftest import MODEL, TOPICS
from toolkit.sync.whole import write_whole
from toolkit.wire.desired import DesiredModel
from toolkit.wire.device_config import InstallWindow
from toolkit.wire.document import encode_json

pytestmark = pytest.mark.broker
ALWAYS = InstallWindow(opens="00:00", closes="24:00", timezone="UTC")
NIGHT = InstallWindow(opens="02:00", closes="03:00", timezone="Europe/Berlin")


def set_up(device, **changes: object) -> None:
    """Put another configuration in place of the device's, whole at any moment."""
    device.config = msgspec.structs.replace(device.config, format=0, **changes)
    write_whole(device.config_file, encode_json(device.config))


def wanted(made, *, rollout: str, now: bool = False) -> DesiredModel:
    version, artifact = made.manifest.version, made.artifact
    return DesiredModel(model=MODEL, version=version, artifact=artifact, rollout=rollout, now=now)


def test_at_1970_and_a_year_ahead_it_waits_until_the_clock_is_trusted(depot, device, keys) -> None:
    set_up(device, install_window=ALWAYS)
    device.start("--clock", "1970-01-01T00:00")
    depot.offer(keys.model("v1"))
    waiting = depot.wait_for(lambda model: model.code == "untrusted-clock")
    assert waiting.state.value == "WAITING_WINDOW"
    assert "1970" in waiting.reason
    assert depot.last.untrusted_clock
    device.stop()

    device.start("--clock", "2027-11-22T12:00")
    assert "2027" in depot.wait_for(lambda model: "2027" in model.reason).reason
    device.stop()

    set_up(device, trust_clock=True)
    device.start("--clock", "2027-11-22T12:00")
    depot.wait_for_state("ACTIVE", "v1")
    assert not depot.last.untrusted_clock


def test_outside_its_window_only_what_is_wanted_now_and_what_is_here_already_goes_on(
    depot, device, keys
) -> None:
    set_up(device, install_window=NIGHT, trust_clock=True)
    device.start("--clock", "2026-11-27T12:00")
    first, second = keys.model("v1"), keys.model("v2")
    depot.offer(first)
    waiting = depot.wait_for(lambda model: model.code == "outside-window")
    assert "Sat 2026-11-28 at 02:00 (CET)" in waiting.reason
    assert not depot.sent
    depot.desire((wanted(first, rollout="r1", now=True),))
    depot.wait_for_state("ACTIVE", "v1")

    depot.made[second.artifact] = second
    depot.publish(TOPICS.manifest(second.artifact), second.sealed)
    depot.desire((wanted(second, rollout="r2"),))
    depot.wait_for(lambda model: model.code == "outside-window" and model.version == "v2")
    assert device.infer([1, 0, 0, 0])[0] == "v1"
    depot.desire((wanted(second, rollout="r2", now=True),))
    depot.wait_for_state("ACTIVE", "v2")
    depot.desire((wanted(first, rollout="back"),))
    depot.wait_for_state("ACTIVE", "v1")


def test_a_device_that_is_held_keeps_what_it_has_until_it_is_let(depot, device, keys) -> None:
    first, second = keys.model("v1"), keys.model("v2")
    device.start()
    depot.offer(first)
    depot.wait_for_state("ACTIVE", "v1")
    device.stop()
    set_up(device, hold=True)
    device.start()
    depot.offer(second, rollout="r2")
    held = depot.wait_for(lambda model: model.code == "held" and model.serving_version == "v1")
    assert (held.state.value, held.version) == ("OFFERED", "v2")
    depot.desire((wanted(second, rollout="r2", now=True),))
    depot.offer(first, rollout="r3")
    depot.wait_for_state("ACTIVE", "v1")
    assert not depot.chunks_sent(second)
    depot.offer(second, rollout="r4")
    depot.wait_for(lambda model: model.code == "held" and model.rollout == "r4")
    starts = depot.last.starts
    set_up(device, hold=False)
    depot.wait_for_state("ACTIVE", "v2")
    assert depot.last.starts == starts
    assert "settings taken up: hold" in device.log()
