"""Take up settings that changed while the daemon runs: what can be, without a restart; what cannot is said in the log.

`control` looks now and then. A pool's devices get their configuration as a file of a ConfigMap, which kubelet replaces
a minute after `tiers apply`; nothing restarts them for that, so that no request is lost for a report interval. Over
what stands in the file lies what is installed as an artifact, see `installed_settings`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from toolkit.errors import TiersError
from toolkit.wire.device_config import DeviceConfig
from toolkit.wire.device_settings import LIVE, DeviceSettings, laid_over

log = logging.getLogger(__name__)
LOOK_SECONDS: Final = 2.0


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
        self._over = DeviceSettings()
        self._problem = ""
        self._look_at = 0.0

    def lay_over(self, settings: DeviceSettings) -> None:
        """Let these settings count before those of the file, from now on."""
        if settings != self._over:
            self._over = settings
            self._take(laid_over(settings, self._seen))

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
            self._take(laid_over(self._over, config))
            log.info("settings taken up: %s", ", ".join(live))
        if later := [name for name in changed if name not in LIVE and name != "format"]:
            log.warning("these settings need a restart of the daemon: %s", ", ".join(later))
