"""Settings of devices that travel as an artifact: signed, rolled out in waves, and taken back like a model's version.

`registry.push_settings` stores one under the name SETTINGS_NAME, `edge_runtime.installed_settings` lays it over the
device's configuration while it is installed. Only what may change under a running daemon can stand here, so no artifact
can cut a device off from its broker.
"""

from __future__ import annotations

from typing import ClassVar, Final

from msgspec.structs import replace

from toolkit.wire.device_config import BrokerConfig, DeviceConfig, InstallWindow, LogLevel, check_live
from toolkit.wire.document import Document, decode_json

SETTINGS_NAME: Final = "device-settings"
"""Under which such artifacts are pushed, rolled out and reported; no model may be called so."""
SETTINGS_FILE: Final = "settings.json"
"""The one file of such an artifact."""


class DeviceSettings(Document, frozen=True, kw_only=True, omit_defaults=True):
    """What a device does otherwise than its configuration says; None leaves it as it stands there."""

    FORMAT: ClassVar[int] = 1
    report_seconds: float | None = None
    install_window: InstallWindow | None = None
    """To lift a window: one from 00:00 to 24:00."""
    trust_clock: bool | None = None
    hold: bool | None = None
    """Does not hold against other settings, so that they can end it."""
    log: LogLevel | None = None
    download_bytes_per_second: int | None = None
    disk_budget_bytes: int | None = None


_EXAMPLE: Final = DeviceConfig(site="any", state="any", keyring_file="any", broker=BrokerConfig(host="any"))
"""To check values where no device is at hand."""
LIVE: Final = tuple(name for name in DeviceSettings.__struct_fields__ if name != "format")
"""Keys of a DeviceConfig that are taken up without a restart."""


def decode_settings(data: bytes, *, what: str) -> DeviceSettings:
    """Read settings.

    Raises:
        IntegrityError: they are damaged, or a value cannot be used.
    """
    settings = decode_json(data, DeviceSettings, what=what)
    check_live(laid_over(settings, _EXAMPLE), what=what)
    return settings


def laid_over(settings: DeviceSettings, config: DeviceConfig) -> DeviceConfig:
    """Give a configuration with these settings laid over it."""
    changes = {name: value for name in LIVE if (value := getattr(settings, name)) is not None}
    return replace(config, format=0, **changes)
