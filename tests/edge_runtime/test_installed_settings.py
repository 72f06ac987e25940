"""A real daemon takes settings as an artifact: signed, checked, in force at once, over a restart, and taken back."""

from __future__ import annotations

import msgspec
import pytest

from tests.edge_runtime.conftest import MODEL, Keys, Made
from toolkit.wire.device_config import InstallWindow
from toolkit.wire.device_settings import SETTINGS_FILE, SETTINGS_NAME, DeviceSettings
from toolkit.wire.document import encode_json

pytestmark = pytest.mark.broker


def settings(keys: Keys, version: str, content: DeviceSettings | bytes, **changes: object) -> Made:
    """Make an artifact of settings, the way a registry does."""
    data = content if isinstance(content, bytes) else encode_json(content)
    about = {"kind": "config", "name": SETTINGS_NAME, "model_file": "", "golden": None, **changes}
    return keys.make(
        version, {SETTINGS_FILE: data}, change=lambda manifest: msgspec.structs.replace(manifest, **about)
    )


def told(depot, state: str, version: str, **more: str):
    return depot.wait_for(
        lambda model: (
            model.model == SETTINGS_NAME
            and (model.state.value, model.version) == (state, version)
            and all(getattr(model, key) == value for key, value in more.items())
        )
    )


def test_settings_come_as_an_artifact_count_at_once_and_are_taken_back(
    depot, device, keys, wait_until
) -> None:
    device.start()
    depot.offer_as(SETTINGS_NAME, settings(keys, "v1", DeviceSettings(hold=True, report_seconds=1.0)))
    told(depot, "ACTIVE", "v1", serving_version="v1")
    depot.offer(keys.model("v1"))
    depot.wait_for(lambda model: model.code == "held")

    device.kill()
    starts = depot.last.starts
    device.start()
    wait_until(lambda: depot.last.starts > starts, "it reports after its restart")
    assert {model.model: model.code for model in depot.last.models} == {SETTINGS_NAME: "", MODEL: "held"}

    lost = DeviceSettings(install_window=InstallWindow(opens="00:00", closes="24:00", timezone="No/Where"))
    depot.offer_as(SETTINGS_NAME, settings(keys, "v2", lost))
    refused = told(depot, "FAILED", "v2")
    assert (refused.code, refused.serving_version) == ("bad-settings", "v1")
    assert "tzdata" in refused.reason
    depot.offer_as(SETTINGS_NAME, settings(keys, "v3", b'{"format":1,"broker":{"host":"elsewhere"}}'))
    assert told(depot, "FAILED", "v3").code == "bad-settings"
    depot.offer_as(
        SETTINGS_NAME, settings(keys, "v4", DeviceSettings(), kind="model", model_file=SETTINGS_FILE)
    )
    assert told(depot, "REJECTED", "v4").code == "wrong-kind"

    depot.offer_as(SETTINGS_NAME, settings(keys, "v5", DeviceSettings(report_seconds=2.0)))
    depot.wait_for(lambda model: model.model == MODEL and model.state.value == "ACTIVE")
    assert {model.model: model.serving_version for model in depot.last.models} == {
        SETTINGS_NAME: "v5",
        MODEL: "v1",
    }
    assert device.infer([1, 0, 0, 0])[0] == "v1"


def test_without_them_the_configuration_alone_counts(depot, device, keys) -> None:
    device.config = msgspec.structs.replace(device.config, format=0, hold=True)
    device.write_config()
    device.start()
    depot.offer_as(SETTINGS_NAME, settings(keys, "v1", DeviceSettings(hold=False)))
    told(depot, "ACTIVE", "v1")
    depot.offer(keys.model("v1"))
    depot.wait_for(lambda model: model.model != SETTINGS_NAME and model.state.value == "ACTIVE")
    del depot.models[SETTINGS_NAME]
    depot.offer(keys.model("v2"))
    assert depot.wait_for(lambda model: model.code == "held").version == "v2"
