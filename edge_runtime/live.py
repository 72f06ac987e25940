"""Take up settings that changed while the daemon runs: what can be, without a restart; what cannot is said in the log.

`control` looks now and then. A pool's devices get their configuration as a file of a ConfigMap, which kubelet replaces
a minute after `tiers apply`; nothing restarts them for that, so that no request is lost for a report interval.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from toolkit.errors import TiersError
from toolkit.wire.device_config import DeviceConfig

log = logging.getLogger(__name__)
LOOK_SECONDS: Final = 2.0
LIVE: Final = (
    "report_seconds",
    "install_window",
    "trust_clock",
    "hold",
    "log",
    "download_bytes_per_second",
    "disk_budget_bytes",
)
"""Keys of a DeviceConfig that are taken up without a restart."""


class Live:
    """Watches a configuration."""

    def __init__(
        self, config: DeviceConfig, read: Callable[[], DeviceConfig], take: Callable[[DeviceConfig], None]
    ) -> None:
        """Prepare.

        Args:
            config: as `read` gave it at the start.
            read: reads the configuration again.
            take: takes up the keys of `LIVE`.
        """
        self._seen = config
        self._read = read
        self._take = take
        self._problem = ""
        self._look_at = 0.0

    def look(self, now: float) -> None:
        """Look whether the configuration has changed, if that is not too recent; a damaged one changes nothing."""
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        try:
            config = self._read()
        except TiersError as error:
            if error.message != self._problem:
                self._problem = error.message
                log.error("the settings stay as they are: %s; %s", error.message, error.hint)  # noqa: TRY400
            return
        self._problem = ""
        names = config.__struct_fields__
        changed = [name for name in names if getattr(config, name) != getattr(self._seen, name)]
        self._seen = config
        if live := [name for name in changed if name in LIVE]:
            self._take(config)
            log.info("settings taken up: %s", ", ".join(live))
        if later := [name for name in changed if name not in LIVE and name != "format"]:
            log.warning("these settings need a restart of the daemon: %s", ", ".join(later))
