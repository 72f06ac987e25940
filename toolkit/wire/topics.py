"""Where each document stands on the broker. All topics of a site lie below `tiers/1/SITE`, five levels at most.

    a/ARTIFACT/m       to devices    retained, QoS 1   sealed Manifest
    s/ARTIFACT         to devices              QoS 0   Frame, for all that listen
    p/ARTIFACT/MACHINE to devices    retained, QoS 1   sealed Manifest of a plan of this model for such machines
    d/DEVICE/desired   to a device   retained, QoS 1   sealed Desired
    d/DEVICE/req       from a device           QoS 0   ChunkRequest
    d/DEVICE/dat       to a device             QoS 0   Frame
    d/DEVICE/put       from a device           QoS 0   StoreCall
    d/DEVICE/got       to a device             QoS 0   StoreAnswer
    d/DEVICE/rec       from a device           QoS 0   RecordBatch
    d/DEVICE/ack       to a device             QoS 0   RecordsAnswer
    d/DEVICE/st        from a device retained, QoS 1   Report
    d/DEVICE/up        from a device retained, QoS 1   Presence (the last will says offline)
    r/ROLLOUT          to drivers    retained, QoS 1   sealed Rollout
    r/ROLLOUT/c        of a driver   retained, QoS 1   sealed Course
    k/MODEL            to devices    retained, QoS 1   Forget: answers that are kept of it and shall be given no more
    i/DEVICE/MODEL/CLIENT[/REF]  to a device       QoS 1   a question of this client, see `serving.mqtt_door`
    o/CLIENT/DEVICE[/REF]        of a device       QoS 0   its answer
    e/CLIENT           to itself              QoS 1   a number: the echo by which a client of ours knows what has come

Seven slashes are what AWS IoT Core allows; an empty retained payload means "cleared".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from toolkit.errors import IntegrityError
from toolkit.wire.digest import Digest

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")


_REFERENCE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


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
class Question:
    """What the topic of a question says."""

    device: str
    model: str
    client: str
    reference: str = ""
    """The client's own, for the answer's topic."""


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

    def plan(self, artifact: str, machine: str) -> str:
        """Topic of the sealed manifest of a model's plan for machines of this key; `+` for all."""
        return f"{self.root}/p/{artifact}/{machine}"

    def plan_of(self, topic: str) -> tuple[str, str] | None:
        """Read the model's artifact and the machines' key out of the topic of a plan; None when it is another's."""
        found = re.fullmatch(f"{re.escape(self.root)}/p/([0-9a-f]{{64}})/([0-9a-f]{{32}})", topic)
        return (found[1], found[2]) if found else None

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

    def records(self, device: str) -> str:
        """Topic on which a device brings what it has put down; `+` for all devices."""
        return self._device(device, "rec")

    def records_answer(self, device: str) -> str:
        """Topic on which a device hears what of it is stored."""
        return self._device(device, "ack")

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

    def forget(self, model: str) -> str:
        """Topic of what shall be forgotten of a model's answers; `+` for all models."""
        return f"{self.root}/k/{model if model == '+' else check_label(model, what='model')}"

    def question(self, device: str, model: str, client: str) -> str:
        """Topic on which a client asks a model of a device."""
        labels = (check_label(device, what="device"), check_label(model, what="model"))
        return f"{self.root}/i/{'/'.join(labels)}/{check_label(client, what='client')}"

    def questions(self, device: str) -> str:
        """Filter of all questions to a device."""
        return f"{self.root}/i/{check_label(device, what='device')}/#"

    def answer(self, client: str, device: str) -> str:
        """Topic on which a device answers a client; answers may also lie below it."""
        return f"{self.root}/o/{check_label(client, what='client')}/{check_label(device, what='device')}"

    def question_of(self, topic: str) -> Question:
        """Read whose question to which model a topic is for.

        Raises:
            IntegrityError: the topic is none for questions at this site.
        """
        prefix = f"{self.root}/i/"
        device, model, client, *rest = [*topic.removeprefix(prefix).split("/"), "", ""]
        reference = rest[0] if len(rest) == 3 else ""  # noqa: PLR2004 -- it and the two that were put behind
        if not topic.startswith(prefix) or len(rest) not in {2, 3} or (len(rest) == 3) != bool(reference):  # noqa: PLR2004
            raise IntegrityError(f"topic {topic[:200]!r} is not one for questions of site {self.site}")
        if reference and not _REFERENCE.fullmatch(reference):
            raise IntegrityError(
                f"reference {reference[:80]!r} must be 1 to 64 letters, digits, dashes or dots"
            )
        check_label(device, what="device")
        return Question(
            device, check_label(model, what="model"), check_label(client, what="client"), reference
        )

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
