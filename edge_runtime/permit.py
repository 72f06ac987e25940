"""Whether something new may be installed now, and if not, why: a held device, an install window, a clock in doubt.

`install` asks when an installation is OFFERED (a held device takes nothing on) and while it is WAITING_WINDOW, and
`reports` tells the reason. Going back to a version that is still on the device needs no window, and a desired model
that says `now` passes it; a held device holds against both.
"""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass, replace
from datetime import datetime, timezone, tzinfo

from edge_runtime.clock import Clock
from toolkit.protocol.installation import Installation
from toolkit.protocol.window import Window
from toolkit.wire.device_config import WEEK, DeviceConfig, InstallWindow
from toolkit.wire.device_settings import SETTINGS_NAME
from toolkit.wire.states import InstallState


@dataclass(frozen=True)
class Wait:
    """Why an installation waits: a stable word, and a line for people with the cure."""

    code: str
    reason: str


HELD = Wait("held", "this device is held and takes nothing new; to let it, remove hold from its settings")


class Permit:
    """What a device's settings allow."""

    def __init__(self, config: DeviceConfig, clock: Clock) -> None:
        """Prepare; an unknown time zone is no error here, it makes everything wait."""
        self._machine = clock
        self.follow(config)

    def follow(self, config: DeviceConfig) -> None:
        """Go by these settings from now on."""
        self.held = config.hold
        self._clock = replace(self._machine, trust=self._machine.trust or config.trust_clock)
        self._window: Window | None = None
        self._unusable: Wait | None = None
        window = config.install_window
        if window is not None and (why := zone_problem(window)):
            self._unusable = Wait("unknown-zone", why)
        elif window is not None:
            self._window = _window(window)

    @property
    def clock(self) -> Clock:
        """The machine's clock, trusted as far as the settings say."""
        return self._clock

    @property
    def doubts_clock(self) -> bool:
        """Whether something has to wait because the time of day is in doubt."""
        return self._window is not None and bool(self._clock.read().doubt)

    def wait_of(self, held: Installation, *, urgent: bool) -> Wait | None:
        """Say what keeps an offer from being looked at, or an accepted one from being fetched and installed."""
        if held.model == SETTINGS_NAME:
            return None  # settings have to come through, because they end a hold and move a window
        if held.state is InstallState.OFFERED:
            offer, first = held.offer, held.shall_serve
            serves = offer is not None and first is not None and offer.artifact == first.artifact
            return HELD if self.held and not serves else None
        return self.wait(urgent=urgent) if held.state is InstallState.WAITING_WINDOW else None

    def wait(self, *, urgent: bool) -> Wait | None:
        """Say why something new has to wait; None when it may be installed. What is urgent needs no window."""
        if self.held:
            return HELD
        if urgent:
            return None
        if self._window is None:
            return self._unusable
        reading = self._clock.read()
        if reading.doubt:
            return Wait("untrusted-clock", reading.doubt)
        if self._window.is_open(reading.seconds):
            return None
        opens = datetime.fromtimestamp(self._window.next_open(reading.seconds), timezone.utc)
        when = opens.astimezone(self._window.zone)
        return Wait("outside-window", f"the install window opens on {when:%a %Y-%m-%d at %H:%M} ({when:%Z})")


def zone_problem(window: InstallWindow) -> str:
    """Say why this machine cannot go by a window's time zone, and the cure; empty when it can."""
    try:
        _window(window)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        why = f"the time zone {window.timezone!r} of the install window is not known on this machine"
        return f"{why}; install tzdata (apt-get install tzdata, or pip install tzdata), or correct the name"
    return ""


def _window(window: InstallWindow) -> Window:
    zone: tzinfo | None = zoneinfo.ZoneInfo(window.timezone) if window.timezone else None
    days = frozenset(WEEK.index(day) for day in window.days)
    return Window(days, _minutes(window.opens), _minutes(window.closes), zone)


def _minutes(time: str) -> int:
    hours, _, minutes = time.partition(":")
    return int(hours) * 60 + int(minutes)
