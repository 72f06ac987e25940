"""What a site's broker retains, for a backup: rollouts, courses, desired states, manifests, reports, forgets.

The documents are taken as they came, seals and all, so that they count again when they stand on a new broker. A file is
named after its topic below the site's, with `@` for the slashes (`r@wave-1@c`), because a topic may lie below another.
`put_back` hands them to a broker that has lost them and looks whether they stand there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from toolkit.backup.part import Part, known
from toolkit.errors import IntegrityError
from toolkit.fleet.reports import SETTLE_SECONDS, Watch
from toolkit.fleet.retained import Kind
from toolkit.link.link import Arrived, Link, LinkEvent
from toolkit.wire.topics import Topics

BROKER = "broker"
MAX_DOCUMENTS = 400_000
MAX_TOTAL_BYTES = 512 * 1024 * 1024
"""A broker that invents documents must not eat our memory."""
_LEVEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_SAVED = {("a", "m"), ("k",), ("r",), ("r", "c"), ("d", "desired"), ("d", "st")}
"""What stands around the name in a topic: a/ARTIFACT/m, k/MODEL, r/ROLLOUT and so on."""


class Recorder(Watch):
    """A watch that keeps what is retained as it came, manifests and forgets too."""

    def __init__(self, link: Link, topics: Topics, *, name: str, quiet_seconds: float = 0.25) -> None:
        """Prepare. Seals are not opened: who reads the documents after a restore checks them again."""
        super().__init__(link, topics, None, name=name, quiet_seconds=quiet_seconds)
        self.documents: dict[str, bytes] = {}
        """By topic."""
        self._total_bytes = 0

    def begin(self, *, connected: bool = False) -> None:
        """Subscribe to what a watch hears, and to manifests and forgets."""
        for topic in (f"{self.topics.root}/a/+/m", f"{self.topics.root}/k/+"):
            self.link.subscribe(topic, qos=1)
        super().begin(connected=connected)

    def handle(self, event: LinkEvent) -> Kind | None:
        """Take an event of the link, and keep a document that is saved."""
        if isinstance(event, Arrived) and is_saved(event.topic, self.topics):
            self._noise = self._noise or event.retained
            if not event.payload:
                self.documents.pop(event.topic, None)
            else:
                self._keep(event.topic, event.payload)
        return super().handle(event)

    def _keep(self, topic: str, payload: bytes) -> None:
        self._total_bytes += len(payload) - len(self.documents.get(topic, b""))
        self.documents[topic] = payload
        if len(self.documents) > MAX_DOCUMENTS or self._total_bytes > MAX_TOTAL_BYTES:
            raise IntegrityError(
                f"the broker retains more than a site has: {len(self.documents)} documents, {self._total_bytes} bytes",
                hint="look at who writes there; --without broker leaves it out",
            )


def is_saved(topic: str, topics: Topics) -> bool:
    """Say whether a topic holds a document that a backup keeps, so that a restore may write there."""
    root = f"{topics.root}/"
    parts = topic.removeprefix(root).split("/")
    if not topic.startswith(root) or not all(_LEVEL.fullmatch(part) for part in parts):
        return False
    kind = (parts[0], *parts[2:])
    return len(parts) > 1 and kind in _SAVED


def record(link: Link, topics: Topics, *, name: str, address: str) -> Recorder:
    """Connect and collect what a broker retains; `close` the recorder when done.

    Raises:
        UnreachableError: it does not let us in, or does not hand over what it retains.
    """
    recorder = Recorder(link, topics, name=name)
    recorder.begin()
    link.connect()
    try:
        recorder.reach(address=address)
        recorder.settle(address=address)
    except BaseException:
        link.close()
        raise
    return recorder


def gather_broker(documents: Mapping[str, bytes], topics: Topics) -> Part:
    """Give the part of a backup that holds what a broker retains."""
    return Part(BROKER, [known(file_of(topic, topics), data) for topic, data in sorted(documents.items())])


def file_of(topic: str, topics: Topics) -> str:
    """Name the file of a topic."""
    return topic.removeprefix(f"{topics.root}/").replace("/", "@")


def topic_of(file: str, topics: Topics) -> str:
    """Give the topic of a file."""
    return f"{topics.root}/{file.replace('@', '/')}"


def put_back(
    recorder: Recorder, documents: Mapping[str, bytes], *, seconds: float = SETTLE_SECONDS
) -> list[str]:
    """Let documents stand on a broker again; what the others are about comes first, rollouts last.

    Args:
        recorder: connected to it.
        documents: by topic.
        seconds: how long the broker may take to hand them back.

    Returns:
        Topics that did not come back to us: the broker's rules do not let us write there.
    """
    order = {"a": 0, "k": 0, "d": 1, "r": 2}
    root = f"{recorder.topics.root}/"
    for topic in sorted(documents, key=lambda each: (order.get(each.removeprefix(root)[0], 0), each)):
        recorder.link.publish(topic, documents[topic], qos=1, retain=True)
    recorder.link.flush(seconds)
    deadline = time.monotonic() + seconds
    # A broker that refuses does so silently (MQTT 3.1.1); after a quiet second nothing more is on its way.
    left = len(documents) + 1
    while (missing := _missing(recorder, documents)) and time.monotonic() < deadline and len(missing) < left:
        left = len(missing)
        recorder.wait_for(lambda: not _missing(recorder, documents), 1.0)
    return _missing(recorder, documents)


def _missing(recorder: Recorder, documents: Mapping[str, bytes]) -> list[str]:
    return [topic for topic, data in documents.items() if recorder.documents.get(topic) != data]
