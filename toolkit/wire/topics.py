"""Where each document stands on the broker. All topics of a site lie below `tiers/1/SITE`, five levels at most.

    a/ARTIFACT/m       to devices    retained, QoS 1   sealed Manifest
    s/ARTIFACT         to devices              QoS 0   Frame, for all that listen
    d/DEVICE/desired   to a device   retained, QoS 1   sealed Desired
    d/DEVICE/req       from a device           QoS 0   ChunkRequest
    d/DEVICE/dat       to a device             QoS 0   Frame
    d/DEVICE/put       from a device           QoS 0   StoreCall
    d/DEVICE/got       to a device             QoS 0   StoreAnswer
    d/DEVICE/st        from a device retained, QoS 1   Report
    d/DEVICE/up        from a device retained, QoS 1   Presence (the last will says offline)
    r/ROLLOUT          to drivers    retained, QoS 1   sealed Rollout
    r/ROLLOUT/c        of a driver   retained, QoS 1   sealed Course
    e/CLIENT           to itself              QoS 1   a number: the echo by which a client of ours knows what has come

Seven slashes are what AWS IoT Core allows; an empty retained payload means "cleared".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from toolkit.errors import IntegrityError
from toolkit.wire.digest import Digest

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")


def check_label(text: str, *, what: str) -> str:
    """Return a device, site or rollout name that is safe in a topic.

    Raises:
        IntegrityError: it is not 1 to 63 lower-case letters, digits, dots and dashes.
    """
    if not _LABEL.fullmatch(text):
        message = f"{what} {text[:80]!r} must be 1 to 63 lower-case letters, digits, dots or dashes"
        raise IntegrityError(message, hint="use the Kubernetes name of the machine")
    return text


@dataclass(frozen=True)
class Topics:
    """The topics of one site."""

    site: str

    def __post_init__(self) -> None:
        """Refuse a site that would change the shape of the topics."""
        check_label(self.site, what="site")

    @property
    def root(self) -> str:
        """What all topics of the site begin with."""
        return f"tiers/1/{self.site}"

    def manifest(self, artifact: Digest) -> str:
        """Topic of an artifact's sealed manifest."""
        return f"{self.root}/a/{artifact}/m"

    def stream(self, artifact: str) -> str:
        """Topic on which an artifact's chunks are sent to all that listen; `+` for all artifacts."""
        return f"{self.root}/s/{artifact}"

    def desired(self, device: str) -> str:
        """Topic of what a device shall run."""
        return self._device(device, "desired")

    def request(self, device: str) -> str:
        """Topic on which a device asks for chunks; `+` for all devices."""
        return self._device(device, "req")

    def data(self, device: str) -> str:
        """Topic on which a device gets frames."""
        return self._device(device, "dat")

    def put(self, device: str) -> str:
        """Topic on which a device brings data; `+` for all devices."""
        return self._device(device, "put")

    def given(self, device: str) -> str:
        """Topic on which a device hears what came of it."""
        return self._device(device, "got")

    def state(self, device: str) -> str:
        """Topic of a device's report; `+` for all devices."""
        return self._device(device, "st")

    def presence(self, device: str) -> str:
        """Topic that says whether a device is connected; `+` for all devices."""
        return self._device(device, "up")

    def rollout(self, name: str) -> str:
        """Topic of a rollout; `+` for all."""
        return f"{self.root}/r/{name if name == '+' else check_label(name, what='rollout')}"

    def course(self, name: str) -> str:
        """Topic of how far a rollout has come; `+` for all."""
        return f"{self.rollout(name)}/c"

    def echo(self, client: str) -> str:
        """Topic on which a client talks to itself, to learn that all that was retained has reached it."""
        return f"{self.root}/e/{check_label(client, what='client')}"

    def device_of(self, topic: str) -> str:
        """Read the device's name out of one of its topics.

        Raises:
            IntegrityError: the topic is not one of a device of this site.
        """
        prefix = f"{self.root}/d/"
        parts = topic[len(prefix) :].split("/") if topic.startswith(prefix) else []
        if len(parts) != 2:  # noqa: PLR2004 -- device and kind
            raise IntegrityError(f"topic {topic[:200]!r} is not one of a device of site {self.site}")
        return check_label(parts[0], what="device")

    def _device(self, device: str, kind: str) -> str:
        return f"{self.root}/d/{device if device == '+' else check_label(device, what='device')}/{kind}"
