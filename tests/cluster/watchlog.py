"""Everything that happened to the pods of a cluster, in the server's order and without a gap, from its watch.

A watch gives every change after a resource version. So a list names the first version, and each connection begins at
the last version that came: whole events only count, what was cut off comes again. A version that the server no longer
knows (410) would be a gap; then the log is broken and says so instead of being read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import urllib3

from tests.cluster.api import Api, Refused

PODS = "/api/v1/pods"
JOB_LABEL = "tiers.dev/name"
SECONDS_A_CONNECTION = 7
"""The server ends each watch after this time: a run of a minute proves that reconnecting loses nothing."""


class Metadata(msgspec.Struct):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""  # noqa: N815
    labels: dict[str, str] = {}


class Spec(msgspec.Struct):
    nodeName: str = ""  # noqa: N815


class Status(msgspec.Struct):
    phase: str = ""


class Pod(msgspec.Struct):
    metadata: Metadata
    spec: Spec
    status: Status


class Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class PodList(msgspec.Struct):
    metadata: Metadata
    items: list[Pod]


@dataclass(frozen=True)
class Change:
    """One version of one pod."""

    moment: float
    """When it came, in seconds of the wall clock, as the server's audit log counts."""
    kind: str
    """ADDED, MODIFIED or DELETED."""
    version: int
    uid: str
    namespace: str
    name: str
    job: str
    """The job of tiers.yaml that it belongs to; empty for others."""
    node: str
    phase: str


class WatchLog:
    """Collects changes in a thread from `start` to `stop`."""

    def __init__(self, api: Api, seconds_a_connection: int = SECONDS_A_CONNECTION) -> None:
        self.api, self.seconds = api, seconds_a_connection
        self.changes: list[Change] = []
        self.connections = 0
        self.version = ""
        self.broken: BaseException | None = None
        self._more = threading.Condition()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchlog", daemon=True)

    def start(self) -> WatchLog:
        """List what is there, then follow it."""
        answer = self._open(f"{PODS}?resourceVersion=")
        found = msgspec.json.decode(answer.data, type=PodList)
        for pod in found.items:
            self._add("ADDED", pod)
        self.version = found.metadata.resourceVersion
        self._thread.start()
        return self

    def catch_up(self, seconds: float = 120) -> list[Change]:
        """Give all changes until now: makes a pod that no scheduler looks at, and waits until the log has it."""
        container = {"name": "mark", "image": "mark"}
        spec = {"schedulerName": "nobody", "automountServiceAccountToken": False, "containers": [container]}
        mark = {"metadata": {"generateName": "mark-"}, "spec": spec}
        made = self.api.create("/api/v1/namespaces/default/pods", mark)["metadata"]
        self.api.delete(f"/api/v1/namespaces/default/pods/{made['name']}?gracePeriodSeconds=0")
        version = int(
            made["resourceVersion"]
        )  # of one store, so all versions before it have come when it has
        self.wait(lambda: int(self.version) >= version, "the mark", seconds)
        return list(self.changes)

    def wait(self, condition: Callable[[], object], what: str, seconds: float) -> None:
        """Wait until a condition on the changes holds; it is asked again after each of them."""
        deadline = time.monotonic() + seconds
        with self._more:
            while not condition():
                if self.broken is not None:
                    raise RuntimeError("the log has a gap") from self.broken
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"after {seconds} s still not in the log: {what}")
                self._more.wait(left)

    def after(self, number: int, seconds: float) -> list[Change]:
        """Give the changes that follow the first `number`, as soon as there are any; none when the time is over."""
        with self._more:
            self._more.wait_for(
                lambda: len(self.changes) > number or self.broken is not None, max(seconds, 0)
            )
            if self.broken is not None:
                raise RuntimeError("the log has a gap") from self.broken
            return self.changes[number:]

    def stop(self) -> None:
        """End it; raises RuntimeError when the log is not complete."""
        self._end.set()
        self._thread.join(self.seconds + 120)
        if self.broken is not None:
            raise RuntimeError("the log has a gap") from self.broken

    # ------------------------------------------------------------ the thread
    def _run(self) -> None:
        try:
            while not self._end.is_set():
                self._follow()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the log is not complete
            with self._more:
                self.broken = error
                self._more.notify_all()

    def _follow(self) -> None:
        """Take in one connection, from the last version that came to its end."""
        self.connections += 1
        query = (
            f"watch=1&allowWatchBookmarks=true&resourceVersion={self.version}&timeoutSeconds={self.seconds}"
        )
        answer = self._open(f"{PODS}?{query}", stream=True)
        try:
            for line in _lines(answer):
                self._take(msgspec.json.decode(line, type=Event))
                if self._end.is_set():
                    return
        except urllib3.exceptions.HTTPError:
            return  # cut off in the middle of an event: it comes again, because the version is still the one before
        finally:
            answer.close()

    def _take(self, event: Event) -> None:
        if event.type == "ERROR":
            raise RuntimeError(bytes(event.object).decode())
        pod = msgspec.json.decode(event.object, type=Pod)
        with self._more:
            if event.type != "BOOKMARK":
                self._add(event.type, pod)
            self.version = pod.metadata.resourceVersion
            self._more.notify_all()

    def _add(self, kind: str, pod: Pod) -> None:
        meta = pod.metadata
        job = meta.labels.get(JOB_LABEL, "")
        version = int(meta.resourceVersion)
        self.changes.append(
            Change(
                time.time(),
                kind,
                version,
                meta.uid,
                meta.namespace,
                meta.name,
                job,
                pod.spec.nodeName,
                pod.status.phase,
            )
        )

    def _open(self, path: str, *, stream: bool = False) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {self.api.token}"}
        answer = self.api.pool.request(
            "GET",
            self.api.url + path,
            headers=headers,
            preload_content=not stream,
            timeout=self.seconds + 60.0,
        )
        if answer.status != 200:
            raise Refused(answer.status, answer.data.decode(errors="replace"))
        return answer


def _lines(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Give whole lines as they come; what follows the last line feed is no event."""
    rest = b""
    for piece in answer.stream(65536):
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
