"""What devices shall run, say, and are set up with: addressed to the right one, and checked before it is used."""

from __future__ import annotations

import msgspec
import pytest

from toolkit.errors import IntegrityError
from toolkit.wire.desired import Desired, DesiredModel, decode_desired
from toolkit.wire.device_config import (
    BrokerConfig,
    DeviceConfig,
    ModelConfig,
    OwnFiles,
    decode_device_config,
    decode_own_files,
)
from toolkit.wire.digest import digest_of
from toolkit.wire.document import encode_json
from toolkit.wire.report import ModelReport, Report, decode_report
from toolkit.wire.rollout import Rollout, RolloutSpec, Wave, decode_rollout
from toolkit.wire.states import FINISHED, InstallState

MODEL = DesiredModel(model="us-seg", version="1.0", artifact=digest_of(b""), rollout="r-1")
DESIRED = Desired(device="us-01", seq=3, fence=1, models=(MODEL,))
SPEC = RolloutSpec(
    model="us-seg", version="1.0", artifact=digest_of(b""), devices=("us-01",), waves=(Wave(devices=1),)
)
CONFIG = DeviceConfig(
    site="north", state="/var/lib/tiers", keyring_file="/k", broker=BrokerConfig(host="broker")
)


def with_model(**fields):
    return msgspec.structs.replace(DESIRED, models=(msgspec.structs.replace(MODEL, **fields),))


def test_a_desired_state_comes_back_to_its_device_only():
    assert decode_desired(encode_json(DESIRED), "us-01") == DESIRED
    with pytest.raises(IntegrityError, match="addressed to 'us-01', not to us-02"):
        decode_desired(encode_json(DESIRED), "us-02")


@pytest.mark.parametrize(
    "fields", [{"artifact": "../x"}, {"model": "A/B"}, {"version": "../1"}, {"version": ""}]
)
def test_a_desired_state_with_a_name_that_cannot_be_is_refused(fields):
    with pytest.raises(IntegrityError):
        decode_desired(encode_json(with_model(**fields)), "us-01")


def test_a_report_speaks_for_its_own_device_only():
    report = Report(device="us-01", seq=1, models=(ModelReport(model="us-seg", state=InstallState.ACTIVE),))
    assert decode_report(encode_json(report), "us-01") == report
    with pytest.raises(IntegrityError, match="speaks for 'us-01'"):
        decode_report(encode_json(report), "us-02")
    with pytest.raises(IntegrityError):
        decode_report(encode_json(report).replace(b"ACTIVE", b"PERFECT"), "us-01")


def test_a_rollout_comes_back_and_names_real_things():
    rollout = Rollout(name="r-1", seq=1, number=1, spec=SPEC)
    assert decode_rollout(encode_json(rollout)) == rollout
    for spec in (
        msgspec.structs.replace(SPEC, artifact="x"),
        msgspec.structs.replace(SPEC, devices=("a/b",)),
    ):
        with pytest.raises(IntegrityError):
            decode_rollout(encode_json(msgspec.structs.replace(rollout, spec=spec)))
    with pytest.raises(IntegrityError):
        decode_rollout(encode_json(msgspec.structs.replace(rollout, name="+")))


def test_a_configuration_comes_back_and_its_names_are_checked():
    config = msgspec.structs.replace(CONFIG, device="us-01", models=(ModelConfig(name="us-seg"),))
    assert decode_device_config(encode_json(config), what="config") == config
    for fields in ({"site": "a/b"}, {"device": "#"}, {"models": (ModelConfig(name="../x"),)}):
        with pytest.raises(IntegrityError, match="config"):
            decode_device_config(encode_json(msgspec.structs.replace(config, **fields)), what="config")


def test_what_has_finished_is_not_under_way():
    under_way = {state for state in InstallState if state not in FINISHED}
    assert InstallState.ACTIVE in FINISHED
    assert {InstallState.DOWNLOADING, InstallState.PROBATION, InstallState.WAITING_WINDOW} <= under_way


def test_devices_with_files_of_their_own_name_files_beside_their_pools():
    own = OwnFiles(files={"us-01": "config-0123456789ab.json"})
    assert decode_own_files(encode_json(own), what="devices.json") == own
    for file in ("../config-0123456789ab.json", "/etc/passwd", "config.json", "config-01.json/x"):
        with pytest.raises(IntegrityError, match="no file such as"):
            decode_own_files(encode_json(OwnFiles(files={"us-01": file})), what="devices.json")
