from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.errors import UnreachableError, UsageError
from toolkit.link.settings import TlsSettings, settings_from_config, settings_from_url
from toolkit.wire.device_config import BrokerConfig


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtt://broker", "broker", 1883, None),
        ("mqtt://127.0.0.1:18830", "127.0.0.1", 18830, None),
        ("mqtts://broker.hospital.example", "broker.hospital.example", 8883, TlsSettings()),
        ("mqtts://[::1]:8884/", "::1", 8884, TlsSettings()),
    ],
)
def test_a_url_is_read(url: str, host: str, port: int, tls: TlsSettings | None) -> None:
    settings = settings_from_url(url, "me")
    assert (settings.host, settings.port, settings.tls, settings.client_id) == (host, port, tls, "me")


@pytest.mark.parametrize(
    "url",
    [
        "http://broker",
        "broker:1883",
        "mqtt://",
        "mqtt://broker:port",
        "mqtt://broker/path",
        "mqtt://broker:99999",
    ],
)
def test_what_is_no_broker_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings_from_url(url, "me")
    assert "mqtt://HOST:PORT" in caught.value.hint


@pytest.mark.parametrize("url", ["mqtt://user:hunter2@broker", "http://user:hunter2@broker"])
def test_a_password_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings_from_url(url, "me")
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_the_password_comes_from_a_file_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    settings = settings_from_url("mqtt://user@broker", "me", password_file=str(tmp_path / "password"))
    assert (settings.username, settings.password) == ("user", "hunter2")
    assert "hunter2" not in repr(settings)
    with pytest.raises(UnreachableError, match="none"):
        settings_from_url("mqtt://user@broker", "me", password_file=str(tmp_path / "none"))


def test_a_device_configuration_is_read(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2")
    config = BrokerConfig(
        host="broker",
        ca_file="ca.pem",
        username="box",
        password_file=str(tmp_path / "password"),
        preset="aws",
    )
    settings = settings_from_config(config, "edge-box")
    assert (settings.address, settings.tls) == ("broker:8883", TlsSettings("ca.pem"))
    assert settings.password == (tmp_path / "password").read_text()
    assert settings.preset.max_payload_bytes == 120 * 1024
    assert settings_from_config(BrokerConfig(host="broker", tls=False), "x").tls is None
