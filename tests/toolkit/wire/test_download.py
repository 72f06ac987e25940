"""Where chunks may come from: an encrypted address, or one of this machine, and no login in it."""

from __future__ import annotations

import pytest

from toolkit.errors import IntegrityError
from toolkit.wire.device_config import BrokerConfig, DeviceConfig, decode_device_config
from toolkit.wire.document import encode_json
from toolkit.wire.download import DownloadConfig

REST = {"site": "north", "state": "s", "keyring_file": "k", "broker": BrokerConfig(host="broker")}
PLAIN = DeviceConfig(**REST)


def with_url(url: str, **more: object) -> bytes:
    return encode_json(DeviceConfig(**REST, download=DownloadConfig(url=url, **more)))


@pytest.mark.parametrize(
    "url",
    ["https://depot.example:8443", "https://cdn.example/models", "http://127.0.0.1:1", "http://[::1]:80"],
)
def test_addresses_that_may_be_used(url: str) -> None:
    config = decode_device_config(with_url(url, prefer="http", broadcast=True), what="c")
    assert config.download == DownloadConfig(url=url, prefer="http", broadcast=True)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://depot.example:80", "not encrypted"),
        ("ftp://depot.example", "no address"),
        ("depot.example:8443", "no address"),
        ("https://me:secret@depot.example", "no address"),
        ("https://depot.example/?x=1", "no address"),
        ("https://depot.example:99999", "no address"),
        ("https://", "no address"),
    ],
)
def test_addresses_that_may_not(url: str, says: str) -> None:
    with pytest.raises(IntegrityError, match=says):
        decode_device_config(with_url(url), what="c")


def test_a_configuration_without_it_is_readable_by_older_devices() -> None:
    assert b"download" not in encode_json(PLAIN)
    assert b'"format":1' in encode_json(PLAIN)
    assert b'"format":2' in with_url("https://depot.example")
