"""A configuration that names another server, and those that name none."""

from __future__ import annotations

import pytest

from toolkit.errors import IntegrityError
from toolkit.wire.device_config import BrokerConfig, DeviceConfig, ModelConfig, decode_device_config
from toolkit.wire.document import encode_json
from toolkit.wire.offload import OffloadConfig


def config(**offload):
    return DeviceConfig(
        site="north",
        state="state",
        keyring_file="keyring.json",
        broker=BrokerConfig(host="broker.example"),
        models=(ModelConfig(name="m", offload=OffloadConfig(**offload)),),
    )


@pytest.mark.parametrize(
    "url", ["https://hot.example:8080", "http://127.0.0.1:8500", "https://hot.example/edge"]
)
def test_it_is_kept_and_needs_format_3(url):
    written = config(url=url, ca_file="ca.crt", token_file="token", timeout_seconds=0.5)  # noqa: S106 -- a path
    assert written.needed_format() == 3
    assert decode_device_config(encode_json(written), what="x") == written


@pytest.mark.parametrize(
    ("offload", "what"),
    [
        ({"url": ""}, "model m: offload: url is empty"),
        ({"url": "http://hot.example:8080"}, "is not encrypted"),
        ({"url": "hot.example:8080"}, "no address"),
        ({"url": "https://user:secret@hot.example"}, "no address"),
        ({"url": "https://hot.example", "timeout_seconds": 0}, "timeout_seconds is 0"),
        ({"url": "https://hot.example", "timeout_seconds": 1e9}, "timeout_seconds is 1e"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(offload, what):
    with pytest.raises(IntegrityError, match=what):
        decode_device_config(encode_json(config(**offload)), what="x")
