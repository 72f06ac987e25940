"""A device's configuration: old files stay readable, and new ones tell old daemons only what they know."""

from __future__ import annotations

import json

import msgspec
import pytest

from toolkit.errors import IntegrityError
from toolkit.wire.device_config import BrokerConfig, DeviceConfig, ServingConfig, decode_device_config
from toolkit.wire.document import encode_json

FIRST = {
    "broker": {"host": "broker.example", "port": 8883, "tls": True},
    "device": "",
    "disk_budget_bytes": 0,
    "format": 1,
    "keyring_file": "keyring.json",
    "models": [{"name": "m", "engine": "auto", "max_batch": 8, "queue": 100}],
    "serving": {"host": "127.0.0.1", "max_body_bytes": 67108864, "port": 8500},
    "site": "north",
    "state": "state",
}
"""As the first release wrote it."""


def test_a_configuration_of_the_first_release_means_what_it_meant():
    config = decode_device_config(json.dumps(FIRST).encode(), what="config.json")
    assert config.serving == ServingConfig(host="127.0.0.1", port=8500)
    assert config.serving.certificate_file == ""


def test_a_daemon_of_the_first_release_reads_what_is_written_for_a_device():
    config = DeviceConfig(
        site="north", state="state", keyring_file="k", broker=BrokerConfig(host="b"), serving=ServingConfig()
    )
    written = json.loads(encode_json(config))
    assert written["format"] == 1
    assert set(written) <= set(FIRST)
    assert set(written.get("serving", {})) <= set(FIRST["serving"])
    computed = DeviceConfig(
        site="north",
        state="state",
        keyring_file="k",
        broker=BrokerConfig(host="b"),
        report_seconds=float("30"),
    )
    assert encode_json(computed) == encode_json(config)


def test_an_interval_of_reports_needs_the_second_number_and_a_length():
    wrong = FIRST | {"report_seconds": 0.5}
    with pytest.raises(IntegrityError, match="report_seconds"):
        decode_device_config(msgspec.json.encode(wrong), what="config.json")
    asked = decode_device_config(msgspec.json.encode(FIRST | {"report_seconds": 60}), what="config.json")
    assert msgspec.structs.replace(asked, format=0).format == 2


def test_what_a_service_needs_survives_writing_and_reading():
    serving = ServingConfig(
        host="::",
        port=1,
        certificate_file="c",
        key_file="k",
        token_file="t",  # noqa: S106 -- a path
        client_ca_file="a",
    )
    config = DeviceConfig(
        site="n", state="s", keyring_file="k", broker=BrokerConfig(host="b"), serving=serving
    )
    assert decode_device_config(encode_json(config), what="x") == config


def test_a_misspelt_key_is_refused():
    wrong = FIRST | {"serving": {"token": "x"}}
    with pytest.raises(IntegrityError, match="token"):
        decode_device_config(msgspec.json.encode(wrong), what="config.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memory_budget_bytes": -1}, "memory_budget_bytes is below 0"),
        ({"models": [{"name": "m", "trial_share": 1.5}]}, r"model m: trial_share is 1\.5"),
        ({"models": [{"name": "m", "trial_share": -0.1}]}, "trial_share"),
        (
            {"models": [{"name": "m", "shadow": {"requests": 0}}]},
            "model m: shadow has a value that cannot be",
        ),
        ({"models": [{"name": "m", "shadow": {"seconds": 0}}]}, "shadow"),
        ({"models": [{"name": "m", "shadow": {"max_difference": -1}}]}, "shadow"),
        ({"models": [{"name": "m", "shadow": {"max_latency_ratio": -1}}]}, "shadow"),
    ],
)
def test_a_trial_and_a_budget_of_memory_have_values_that_can_be(changes, message):
    with pytest.raises(IntegrityError, match=message):
        decode_device_config(msgspec.json.encode(FIRST | changes), what="config.json")
