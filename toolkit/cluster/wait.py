"""Wait until objects run: one watch a kind and namespace, judged by `readiness`. After `apply`.

A watch that breaks or is too old begins again with a list. A time-out is a result, not an error: it names for each
object what is missing, with the last warnings that the cluster wrote about it and why its pods find no place.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from urllib3.exceptions import HTTPError

from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import Key, key_of
from toolkit.cluster.readiness import Readiness, State, judge
from toolkit.cluster.refusal import refused
from toolkit.cluster.request import Connection, Json
from toolkit.cluster.warnings import warnings_about
from toolkit.errors import ClusterError
from toolkit.render.metadata import TOPOLOGY_LABEL
from toolkit.render.rendered import RenderedObject

LARGEST_EVENT = 16 * 2**20
"""Bytes of one watch event that are held at most; an object in etcd is below 2 MiB."""
_ABSENT = Readiness(State.PROGRESSING, "it is not in the cluster")
_REFUSED_FROM, _PIECE = 300, 65536


@dataclass(frozen=True)
class WaitedObject:
    """An object at the end of the wait. `warnings` is filled when it does not run."""

    kind: str
    namespace: str
    name: str
    state: State
    reason: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Waited:
    """Every object at the end of the wait, in apply order."""

    seconds: float
    objects: tuple[WaitedObject, ...]

    @property
    def not_ready(self) -> tuple[WaitedObject, ...]:
        """The objects that do not run."""
        return tuple(each for each in self.objects if each.state is not State.READY)


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
    connection: Connection, topology: str, objects: Sequence[RenderedObject], *, seconds: float
) -> Waited:
    """Wait until every object runs, one has failed for good, or the time is over.

    Args:
        connection: the way to the cluster.
        topology: its name, by whose label objects are watched.
        objects: what was applied; only this cluster's count.
        seconds: how long at most.

    Raises:
        ClusterError: a kind does not exist in the cluster, or may not be watched.
        UnreachableError: the server does not answer.
    """
    kinds = Kinds(connection)
    ours = [each for each in objects if each.cluster == connection.cluster]
    groups: dict[tuple[str, str, str], set[Key]] = {}
    for each in ours:
        groups.setdefault((each.api_version, each.kind, each.namespace), set()).add(key_of(each.body))
    begin, over = time.monotonic(), threading.Event()
    found: dict[Key, Readiness] = {}
    if groups:
        with ThreadPoolExecutor(max_workers=len(groups)) as threads:
            watches = [
                _Watch(kinds, topology, group, keys, begin + seconds, over) for group, keys in groups.items()
            ]
            for seen in threads.map(_Watch.run, watches):
                found.update(seen)
    waited = tuple(_end(kinds, each, found.get(key_of(each.body), _ABSENT)) for each in ours)
    return Waited(time.monotonic() - begin, waited)


def _end(kinds: Kinds, rendered: RenderedObject, readiness: Readiness) -> WaitedObject:
    warnings: tuple[str, ...] = ()
    if readiness.state is not State.READY:
        warnings = warnings_about(kinds, rendered)
    return WaitedObject(
        rendered.kind, rendered.namespace, rendered.name, readiness.state, readiness.reason, warnings
    )


@dataclass
class _Watch:
    """The objects of one kind in one namespace."""

    kinds: Kinds
    topology: str
    group: tuple[str, str, str]
    keys: set[Key]
    deadline: float
    over: threading.Event
    """Set when an object has failed for good or a watch was refused: nobody needs to wait any more."""

    def run(self) -> dict[Key, Readiness]:
        """Follow the objects to the end of the wait and give the last readiness of each."""
        seen: dict[Key, Readiness] = {}
        try:
            while not self._settled(seen):
                version = self._list(seen)
                if self._settled(seen):
                    break
                for event in self._events(version):
                    self._take(event, seen)
                    if self._settled(seen):
                        break
        except BaseException:
            self.over.set()
            raise
        return seen

    def _settled(self, seen: Mapping[Key, Readiness]) -> bool:
        if any(each.state is State.FAILED for each in seen.values()):
            self.over.set()
        running = all(seen.get(key, _ABSENT).state is State.READY for key in self.keys)
        return running or self.over.is_set() or time.monotonic() >= self.deadline

    def _list(self, seen: dict[Key, Readiness]) -> str:
        """Look at all objects once; give the version from which a watch goes on."""
        api_version, kind, _ = self.group
        page = self.kinds.connection.get(self._path(), labelSelector=f"{TOPOLOGY_LABEL}={self.topology}")
        seen.clear()
        items = page.get("items")
        for item in items if isinstance(items, list) else []:
            body = {"apiVersion": api_version, "kind": kind, **item}
            if key_of(body) in self.keys:
                seen[key_of(body)] = judge(body)
        metadata = page.get("metadata")
        return str(metadata.get("resourceVersion")) if isinstance(metadata, Mapping) else ""

    def _take(self, event: Json, seen: dict[Key, Readiness]) -> None:
        body = event.get("object")
        if not isinstance(body, dict) or key_of(body) not in self.keys:
            return
        seen[key_of(body)] = _ABSENT if event.get("type") == "DELETED" else judge(body)

    def _events(self, version: str) -> Iterator[Json]:
        """Give events until the server ends the watch; it does so every few seconds, so that `over` is seen."""
        left = min(max(self.deadline - time.monotonic(), 1.0), 5.0)
        query = {
            "watch": "true",
            "resourceVersion": version,
            "labelSelector": f"{TOPOLOGY_LABEL}={self.topology}",
            "timeoutSeconds": str(int(left) or 1),
        }
        connection = self.kinds.connection
        try:
            answer = connection.open("GET", self._path(), query, None, left + 5)
        except HTTPError:
            return
        try:
            if answer.status >= _REFUSED_FROM:
                raise refused(answer.status, answer.read(LARGEST_EVENT), f"watch {self._path()}")
            yield from _lines(answer.stream(_PIECE))
        except HTTPError:
            return
        finally:
            answer.close()

    def _path(self) -> str:
        api_version, kind, namespace = self.group
        return self.kinds.resource(api_version, kind).path(namespace)


def _lines(pieces: Iterator[bytes]) -> Iterator[Json]:
    """Cut a watch into its events; an ERROR event (too old a version) ends it."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if event.get("type") == "ERROR":
                return
            yield event
        if len(rest) > LARGEST_EVENT:
            return
