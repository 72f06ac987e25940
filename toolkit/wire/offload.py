"""Which other server answers for a model when a device cannot: a part of `device_config`.

Rendered from `models.NAME.offload` of tiers.yaml, or written by hand. Read by `edge_runtime.serving.offload`.
"""

from __future__ import annotations

from typing import Final

from toolkit.errors import IntegrityError
from toolkit.wire.document import Sparse
from toolkit.wire.download import DownloadConfig, check_download

_LONGEST: Final = 3600.0


class OffloadConfig(Sparse, frozen=True, kw_only=True):
    """A tiers-edge elsewhere: a service of another tier, or another device."""

    url: str
    """https://HOST:PORT, what stands before /v2; http on loopback alone."""
    ca_file: str = ""
    """PEM of the authority of its certificate; empty takes the system's."""
    token_file: str = ""
    """The token to show, on its first line; empty shows none."""
    timeout_seconds: float = 2.0
    """Longest wait for an answer; a question whose own time is shorter waits no longer than that."""


def check_offload(config: OffloadConfig, what: str) -> None:
    """Check the address and the time.

    Raises:
        IntegrityError: one of them cannot be used.
    """
    if not config.url:
        raise IntegrityError(f"{what}: url is empty", hint="write https://HOST:PORT, or leave offload out")
    check_download(DownloadConfig(url=config.url), f"{what}: url")
    if not 0 < config.timeout_seconds <= _LONGEST:
        message = f"{what}: timeout_seconds is {config.timeout_seconds:g}"
        raise IntegrityError(message, hint="write seconds above 0")
