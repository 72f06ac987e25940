"""Wait until objects run: one watch a kind and namespace, judged by `readiness`. After `apply`.

A watch that breaks, or that the server ends, goes on where it was; one that is too old (410, an ERROR event) begins
again with a list. Only a failure that is final ends the wait early: anything else may recover until the time is over. A
time-out is a result, not an error: it names for each object what is missing, with the last warnings that the cluster
wrote about it and why its pods find no place. Machines that are offline are named, not waited for (`machines`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from urllib3.exceptions import HTTPError

from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import Key, key_of
from toolkit.cluster.machines import Machines
from toolkit.cluster.readiness import READY_PERCENT, Readiness, State, judge
from toolkit.cluster.refusal import refused
from toolkit.cluster.request import Connection, Json
from toolkit.cluster.warnings import warnings_about
from toolkit.errors import ClusterError, UnreachableError
from toolkit.render.metadata import TOPOLOGY_LABEL
from toolkit.render.rendered import RenderedObject

LARGEST_EVENT = 16 * 2**20
"""Bytes of one watch event that are held at most; an object in etcd is below 2 MiB."""
_ABSENT = Readiness(State.PROGRESSING, "it is not in the cluster")
_REFUSED_FROM, _PIECE = 300, 65536
_GONE, _PASSING = 410, frozenset({429, 500, 502, 503, 504})
_ROUND_SECONDS = 5.0
"""How long one watch request lasts: after it machines are looked at again, and whether somebody ended the wait."""
_BREATH_SECONDS = 0.5


@dataclass(frozen=True)
class WaitedObject:
    """An object at the end of the wait. `warnings` is filled when it does not run."""

    kind: str
    namespace: str
    name: str
    state: State
    reason: str = ""
    warnings: tuple[str, ...] = ()
    offline: Mapping[str, str] = field(default_factory=dict)
    """Machine → since when it does not answer; its pod was not waited for."""


@dataclass(frozen=True)
class Waited:
    """Every object at the end of the wait, in apply order."""

    cluster: str
    seconds: float
    objects: tuple[WaitedObject, ...]

    @property
    def not_ready(self) -> tuple[WaitedObject, ...]:
        """The objects that do not run."""
        return tuple(each for each in self.objects if each.state is not State.READY)

    @property
    def offline(self) -> dict[str, str]:
        """Give every machine that was not waited for, and since when it does not answer."""
        return {name: since for each in self.objects for name, since in each.offline.items()}


def raise_for_time(waited: Waited) -> None:
    """End a command by what did not run in time.

    Raises:
        ClusterError: names each object, what it misses and what the cluster wrote about it.
    """
    if not waited.not_ready:
        return
    lines = [
        f"{each.kind} {each.name}: {each.reason}" + "".join(f"\n    {text}" for text in each.warnings)
        for each in waited.not_ready
    ]
    raise ClusterError(
        f"after {waited.seconds:.0f} s not running:\n  " + "\n  ".join(lines), hint="tiers status"
    )


def wait(
    connection: Connection,
    topology: str,
    objects: Sequence[RenderedObject],
    *,
    seconds: float,
    ready_percent: int = READY_PERCENT,
    stop: threading.Event | None = None,
) -> Waited:
    """Wait until every object runs, one has failed for good, or the time is over.

    Args:
        connection: the way to the cluster.
        topology: its name, by whose label objects are watched.
        objects: what was applied; only this cluster's count.
        seconds: how long at most.
        ready_percent: how many of the pods on reachable machines make a DaemonSet ready.
        stop: set by somebody who wants the wait to end within some seconds.

    Raises:
        ClusterError: a kind does not exist in the cluster, or may not be watched.
        UnreachableError: the server does not answer.
    """
    kinds = Kinds(connection)
    ours = [each for each in objects if each.cluster == connection.cluster]
    groups: dict[tuple[str, str, str], set[Key]] = {}
    for each in ours:
        groups.setdefault((each.api_version, each.kind, each.namespace), set()).add(key_of(each.body))
    begin = time.monotonic()
    end = _End(begin + seconds, stop or threading.Event())
    machines = Machines(kinds)
    found: dict[Key, Readiness] = {}
    if groups:
        with ThreadPoolExecutor(max_workers=len(groups)) as threads:
            watches = [
                _Watch(kinds, topology, group, keys, end, machines, ready_percent)
                for group, keys in groups.items()
            ]
            for seen in threads.map(_Watch.run, watches):
                found.update(seen)
    waited = tuple(_result(kinds, each, found.get(key_of(each.body), _ABSENT)) for each in ours)
    return Waited(connection.cluster, time.monotonic() - begin, waited)


def _result(kinds: Kinds, rendered: RenderedObject, readiness: Readiness) -> WaitedObject:
    warnings: tuple[str, ...] = ()
    if readiness.state is not State.READY:
        warnings = warnings_about(kinds, rendered)
    return WaitedObject(
        rendered.kind,
        rendered.namespace,
        rendered.name,
        readiness.state,
        readiness.reason,
        warnings,
        readiness.offline,
    )


@dataclass
class _End:
    """When all watches of a wait end."""

    deadline: float
    asked: threading.Event
    """Set from outside."""
    over: threading.Event = field(default_factory=threading.Event)
    """Set when an object has failed for good or a watch was refused: nobody needs to wait any more."""

    def has_come(self) -> bool:
        return self.over.is_set() or self.asked.is_set() or time.monotonic() >= self.deadline

    def left(self) -> float:
        return self.deadline - time.monotonic()


@dataclass
class _Watch:
    """The objects of one kind in one namespace."""

    kinds: Kinds
    topology: str
    group: tuple[str, str, str]
    keys: set[Key]
    end: _End
    machines: Machines
    ready_percent: int
    version: str = ""
    """From which the watch goes on; empty: begin with a list."""
    bodies: dict[Key, Json] = field(default_factory=dict)
    seen: dict[Key, Readiness] = field(default_factory=dict)

    def run(self) -> dict[Key, Readiness]:
        """Follow the objects to the end of the wait and give the last readiness of each."""
        try:
            self._list()
            while not self._settled():
                begin = time.monotonic()
                for event in self._events():
                    self._take(event)
                    if self._settled():
                        return self.seen
                # A server that ends watches at once is in trouble.
                if time.monotonic() - begin < _BREATH_SECONDS:
                    self.end.over.wait(_BREATH_SECONDS)
                if not self.version:
                    with suppress(UnreachableError):  # it may be back before the time is over
                        self._list()
                # A machine may have gone silent without a word about its pods.
                for key, body in self.bodies.items():
                    self.seen[key] = self._judge(body)
        except BaseException:
            self.end.over.set()
            raise
        return self.seen

    def _settled(self) -> bool:
        if any(each.final for each in self.seen.values()):
            self.end.over.set()
        running = all(self.seen.get(key, _ABSENT).state is State.READY for key in self.keys)
        return running or self.end.has_come()

    def _judge(self, body: Json) -> Readiness:
        return judge(body, self.machines.all, self.ready_percent)

    def _list(self) -> None:
        """Look at all objects once; a watch goes on from there."""
        api_version, kind, _ = self.group
        page = self.kinds.connection.get(self._path(), labelSelector=f"{TOPOLOGY_LABEL}={self.topology}")
        items = page.get("items")
        listed = (
            [{**item, "apiVersion": api_version, "kind": kind} for item in items if isinstance(item, dict)]
            if isinstance(items, list)
            else []
        )
        self.bodies = {key_of(body): body for body in listed if key_of(body) in self.keys}
        self.seen = {key: self._judge(body) for key, body in self.bodies.items()}
        self.version = _version(page)

    def _take(self, event: Json) -> None:
        body = event.get("object")
        if not isinstance(body, dict):
            return
        self.version = _version(body) or self.version
        key = key_of(body)
        if event.get("type") == "BOOKMARK" or key not in self.keys:
            return
        if event.get("type") == "DELETED":
            self.bodies.pop(key, None)
            self.seen[key] = _ABSENT
        else:
            self.bodies[key], self.seen[key] = body, self._judge(body)

    def _events(self) -> Iterator[Json]:
        """Give events until the server ends the watch; it does so every few seconds."""
        left = max(min(self.end.left(), _ROUND_SECONDS), 1.0)
        query = {
            "watch": "true",
            "resourceVersion": self.version,
            "allowWatchBookmarks": "true",
            "labelSelector": f"{TOPOLOGY_LABEL}={self.topology}",
            "timeoutSeconds": str(int(left)),
        }
        connection = self.kinds.connection
        try:
            answer = connection.open("GET", self._path(), query, None, left + 5)
        except HTTPError:
            return
        try:
            if answer.status == _GONE:
                self.version = ""
            elif answer.status >= _REFUSED_FROM and answer.status not in _PASSING:
                raise refused(answer.status, answer.read(LARGEST_EVENT), f"watch {self._path()}")
            elif answer.status < _REFUSED_FROM:
                for event in _lines(answer.stream(_PIECE)):
                    if event.get("type") == "ERROR":  # what it says is mostly 410: too old to go on from
                        self.version = ""
                        return
                    yield event
        except (HTTPError, ValueError):  # broken off, perhaps within an event
            return
        finally:
            answer.close()

    def _path(self) -> str:
        api_version, kind, namespace = self.group
        return self.kinds.resource(api_version, kind).path(namespace)


def _version(document: Mapping[str, object]) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("resourceVersion") or "") if isinstance(metadata, Mapping) else ""


def _lines(pieces: Iterator[bytes]) -> Iterator[Json]:
    """Cut a watch into its events. Raises ValueError when one is no JSON or larger than any object can be."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if isinstance(event, dict):
                yield event
        if len(rest) > LARGEST_EVENT:
            raise ValueError("larger than any object can be")
