"""How a device is told to fetch besides pulling over MQTT: a part of `device_config`.

Rendered from `depot` of tiers.yaml, or written by hand. Read by `edge_runtime.roads` and `road_http`.
"""

from __future__ import annotations

import ipaddress
from typing import Literal
from urllib.parse import urlsplit

from toolkit.errors import IntegrityError
from toolkit.wire.document import Sparse


class DownloadConfig(Sparse, frozen=True, kw_only=True):
    """The second road, and the stream that several devices share."""

    url: str = ""
    """Where the chunks files are: what stands before /v1/artifacts, https beyond loopback; empty has no such road."""
    ca_file: str = ""
    """PEM of the authority of that server; empty takes the broker's."""
    prefer: Literal["auto", "http", "mqtt"] = "auto"
    """Which road is taken first; auto probes both once in each deployment."""
    broadcast: bool = False
    """Listen to the stream of an artifact while it is fetched."""


def check_download(config: DownloadConfig, what: str) -> None:
    """Check the address.

    Raises:
        IntegrityError: it is none, holds a login, or would leave the machine without encryption.
    """
    if not config.url:
        return
    try:
        url = urlsplit(config.url)
        host, _ = url.hostname or "", url.port
    except ValueError as error:
        raise IntegrityError(f"{what}: {config.url[:200]!r} is no address: {error}") from error
    if url.scheme not in {"http", "https"} or not host or url.query or url.fragment or "@" in url.netloc:
        raise IntegrityError(
            f"{what}: {config.url[:200]!r} is no address of a server",
            hint="write https://HOST:PORT, without a login",
        )
    if url.scheme == "http" and not _is_loopback(host):
        raise IntegrityError(f"{what}: {config.url[:200]!r} is not encrypted", hint="write https://")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
