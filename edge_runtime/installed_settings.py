"""Install settings that came as an artifact: what the golden check, loading and serving are for a model.

`install` calls it where the model is called SETTINGS_NAME; the table, the chunks and the two versions that are kept are
those of any artifact. Settings count as serving while they are laid over the device's configuration.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from edge_runtime.folders import Folders
from edge_runtime.live import Live
from edge_runtime.permit import zone_problem
from toolkit.errors import IntegrityError
from toolkit.protocol.installation import (
    Action,
    Event,
    Given,
    Installation,
    Outcome,
    Serving,
    Struck,
    Tick,
)
from toolkit.wire.device_settings import SETTINGS_FILE, DeviceSettings, decode_settings

log = logging.getLogger(__name__)


def read_installed(folders: Folders, artifact: str) -> DeviceSettings:
    """Read settings that lie on this device, and check that this machine can go by them. A few hundred bytes.

    Raises:
        IntegrityError: they are not here or damaged, or name a time zone that this machine does not know.
    """
    file = folders.version(artifact) / SETTINGS_FILE
    try:
        data = file.read_bytes()
    except OSError as error:
        raise IntegrityError(f"settings {artifact[:12]} cannot be read: {error}") from error
    settings = decode_settings(data, what=f"settings {artifact[:12]}")
    if settings.install_window is not None and (why := zone_problem(settings.install_window)):
        raise IntegrityError(why)
    return settings


class InstalledSettings:
    """The work of the states that is another one for settings than for a model. For the control thread."""

    def __init__(self, live: Live, folders: Folders, give: Callable[[str, Given], None]) -> None:
        """Prepare; `give` tells an installation what happened."""
        self._live = live
        self._folders = folders
        self._give = give
        self.work: dict[Action, Callable[[Installation], None]] = {
            Action.CHECK_GOLDEN: self._check,
            Action.PREPARE: self._prepare,
            Action.SERVE: self._serve,
        }

    def _check(self, held: Installation) -> None:
        artifact = held.offer.artifact if held.offer else ""
        try:
            read_installed(self._folders, artifact)
        except IntegrityError as error:
            ending = Outcome(held.attempt, Event.FAIL, "bad-settings", error.message)
        else:
            ending = Outcome(held.attempt, Event.PASSED)
        self._give(held.model, ending)

    def _prepare(self, held: Installation) -> None:
        self._give(held.model, Outcome(held.attempt, Event.PREPARED))

    def _serve(self, held: Installation) -> None:
        """Let the settings that shall serve count; where none shall, the configuration alone."""
        artifact = held.shall_serve.artifact if held.shall_serve else ""
        try:
            settings = read_installed(self._folders, artifact) if artifact else DeviceSettings()
        except IntegrityError as error:
            log.error("%s: %s", held.model, error.message)  # noqa: TRY400 -- explained, not a fault
            self._give(held.model, Struck(artifact, error.message, fatal=True))
            return
        self._live.lay_over(settings)
        log.info("%s: %s", held.model, held.shall_serve.version if held.shall_serve else "none installed")
        self._give(held.model, Serving(artifact))
        self._give(held.model, Tick())
