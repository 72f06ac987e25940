"""How to reach a broker: made from a device's configuration or from a URL, read by `paho_link`.

Secrets come as files; a password inside a URL is refused, because URLs end up in logs and shell histories.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from toolkit.errors import UnreachableError, UsageError
from toolkit.link.presets import PRESETS, Preset, PresetName
from toolkit.wire.device_config import BrokerConfig

ClientName = Literal["paho", "awscrt"]

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class TlsSettings:
    """How to know the broker, and how it knows us; empty names mean the system's authorities and no certificate."""

    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""


@dataclass(frozen=True)
class LinkSettings:
    """Everything a link needs to connect. `tls` None means plain TCP, which only loopback deserves."""

    host: str
    port: int
    client_id: str
    tls: TlsSettings | None = None
    username: str = ""
    password: str = ""
    preset_name: PresetName = "default"
    client: ClientName = "paho"
    """Which client library speaks; see `choose`."""
    connect_seconds: float = 5.0
    """How long one attempt to connect may take."""
    retry_first_seconds: float = 0.5
    """Upper end of the first random pause between attempts; it doubles with each failure in a row."""
    retry_longest_seconds: float = 30.0

    @property
    def address(self) -> str:
        """Give `host:port`, for messages."""
        return f"{self.host}:{self.port}"

    @property
    def preset(self) -> Preset:
        """Give the limits that belong to the preset's name."""
        return PRESETS[self.preset_name]

    def __repr__(self) -> str:
        """Show where it leads and never the password."""
        return f"LinkSettings({self.address}, client_id={self.client_id!r}, tls={self.tls is not None})"


def settings_from_config(broker: BrokerConfig, client_id: str) -> LinkSettings:
    """Turn the `broker` part of a device's configuration into settings; reads the password file.

    Raises:
        UnreachableError: the password file cannot be read.
    """
    tls = TlsSettings(broker.ca_file, broker.certificate_file, broker.key_file) if broker.tls else None
    return LinkSettings(
        host=broker.host,
        port=broker.port,
        client_id=client_id,
        tls=tls,
        username=broker.username,
        password=_read_password(broker.password_file),
        preset_name=broker.preset,
        client=broker.client,
    )


def settings_from_url(
    url: str,
    client_id: str,
    *,
    tls: TlsSettings | None = None,
    password_file: str = "",
    preset_name: PresetName = "default",
) -> LinkSettings:
    """Turn `mqtt://[user@]host[:port]` or `mqtts://…` into settings.

    Args:
        url: where the broker is; the port defaults to 1883, or 8883 for mqtts.
        client_id: name of this connection; a broker allows it once.
        tls: files for mqtts; ignored for mqtt.
        password_file: file whose first line is the password.
        preset_name: limits of the broker.

    Raises:
        UsageError: it is not such a URL, or it holds a password.
        UnreachableError: the password file cannot be read.
    """
    parts, port = _split(url)
    if parts.password is not None:
        raise UsageError("the broker's URL holds a password", hint="put it into a file and name that file")
    return LinkSettings(
        host=parts.hostname or "",
        port=port or _PORTS[parts.scheme],
        client_id=client_id,
        tls=(tls or TlsSettings()) if parts.scheme == "mqtts" else None,
        username=parts.username or "",
        password=_read_password(password_file),
        preset_name=preset_name,
    )


def _split(url: str) -> tuple[SplitResult, int | None]:
    hint = "write mqtt://HOST:PORT or mqtts://HOST:PORT"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError("the broker's URL has a port that is not a number", hint=hint) from error
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        shown = url.rpartition("@")[2]
        raise UsageError(f"{shown[:200]!r} is not the URL of a broker", hint=hint)
    return parts, port


def _read_password(file: str) -> str:
    if not file:
        return ""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        message = f"the broker's password file {file} cannot be read: {error}"
        raise UnreachableError(message, hint="mount the secret, or correct broker.password_file") from error
    return lines[0] if lines else ""
