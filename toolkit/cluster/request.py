"""One request to an API server: raw dicts over a pool of connections, with retries of what is safe to repeat.

Made by `connect`; `kinds`, `diff`, `apply`, `wait` and `status` speak through it. Repeated are 429, 502, 503, 504, a
500 that says that etcd was slow, and broken connections. A 500 with a schema error is final: server-side apply gives
one for a wrong type in a custom resource. Reading, server-side apply and deleting one object mean the same twice. A
POST or PUT does not: it is repeated only when the server surely did nothing (429, or no connection came about), and who
sends one reads back when its answer is lost. So does who sends a PATCH with a resourceVersion: its repetition may meet
what its own first try did, and gets a 409.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlencode

import msgspec
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from toolkit.cluster.refusal import RefusedError, refused
from toolkit.cluster.server_clock import ServerClock
from toolkit.errors import ClusterError, TiersError, UnreachableError

Json = dict[str, object]
Login = Callable[[], Mapping[str, str]]
"""Gives the headers that say who we are, anew for each request, because tokens run out."""
APPLY_PATCH = "application/apply-patch+yaml"
NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""Asks for a list without specs and data: what is there, at a fraction of the bytes."""
PLAIN = "application/json"
ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 30.0
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
LARGEST_ANSWER = 256 * 2**20
"""Bytes of one answer that are read at most; a page of objects is far below."""
_TOO_MANY = 429
_BUSY = frozenset({_TOO_MANY, 502, 503, 504})
_MAY_COME_TWICE = frozenset({"GET", "PATCH", "DELETE"})
_NEVER_SENT = (NewConnectionError, ConnectTimeoutError)
_SLOW_STORE = ("etcdserver: request timed out", "etcdserver: leader changed", "context deadline exceeded")
_REFUSED_FROM = 300


class Answer(Protocol):
    """What a connection pool gives back."""

    status: int
    headers: Mapping[str, str]

    def read(self, amt: int | None = None) -> bytes:
        """Give bytes of the body."""

    def stream(self, amt: int) -> Iterator[bytes]:
        """Give the body in pieces as they come."""

    def close(self) -> None:
        """Hang up."""

    def release_conn(self) -> None:
        """Give the connection back to the pool."""


class Pool(Protocol):
    """The part of urllib3's PoolManager that is used here."""

    def request(self, method: str, url: str, **options: object) -> Answer:
        """Send one request."""


@dataclass(frozen=True)
class Connection:
    """The way to one cluster, for many threads at once."""

    cluster: str
    """Its name in tiers.yaml."""
    context: str
    """Its context in the kubeconfig."""
    host: str
    pool: Pool
    login: Login
    clock: ServerClock = field(default_factory=ServerClock, compare=False)

    def get(self, path: str, **query: str) -> Json:
        """Read one document. Raises RefusedError, UnreachableError."""
        return self.send("GET", path, query)

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: object = None,
        *,
        attempts: int = ATTEMPTS,
        read_seconds: float = READ_SECONDS,
        accept: str = PLAIN,
    ) -> Json:
        """Send a request, again as long as that is safe, and give the answer's document.

        Args:
            method: GET; PATCH for a server-side apply; DELETE; POST or PUT, whose lost answers are not asked for again.
            path: such as /api/v1/namespaces.
            query: parameters of the URL.
            body: the object, or for a DELETE its options.
            attempts: how often at most.
            read_seconds: how long one answer may take.
            accept: the form of the answer, such as NAMES_ONLY.

        Raises:
            RefusedError: the server said no; ConflictError when another manager owns a field.
            ClusterError: what came is no answer of an API server.
            UnreachableError: it does not answer, or is busy still after all attempts.
        """
        twice = method in _MAY_COME_TWICE
        for attempt in range(attempts):
            last = attempt == attempts - 1
            try:
                answer = self.open(method, path, query, body, read_seconds, accept)
                data = answer.read(LARGEST_ANSWER)
                answer.release_conn()
            except HTTPError as exc:
                if last or not (twice or isinstance(exc, _NEVER_SENT)):
                    raise self.unreachable(exc) from exc
                _pause(attempt, "")
                continue
            self.clock.saw(answer.headers.get("Date", ""))
            if answer.status < _REFUSED_FROM:
                return _document(data, f"{method} {path}")
            if last or not _may_pass(answer.status, data, twice=twice):
                raise refused(answer.status, data, f"{method} {path}")
            _pause(attempt, answer.headers.get("Retry-After", ""))
        raise AssertionError("the last attempt returns or raises")  # pragma: no cover

    def open(  # one parameter for each part of a request
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: object,
        read_seconds: float,
        accept: str = PLAIN,
    ) -> Answer:
        """Send one request once and give the open answer; `wait` reads its watches from it."""
        from urllib3 import Timeout

        headers = {"Accept": accept, **self.login()}
        if body is not None:
            headers["Content-Type"] = APPLY_PATCH if method == "PATCH" else PLAIN
        return self.pool.request(
            method,
            f"{self.host}{path}" + (f"?{urlencode(query)}" if query else ""),
            headers=headers,
            body=None if body is None else json.dumps(body).encode(),
            timeout=Timeout(connect=CONNECT_SECONDS, read=read_seconds),
            preload_content=False,
            retries=False,
        )

    def unreachable(self, exc: Exception) -> UnreachableError:
        """Say that the server does not answer."""
        return UnreachableError(
            f"the cluster '{self.cluster}' (context {self.context}) does not answer at {self.host}: {exc}",
            hint=f"kubectl --context {self.context} get --raw /readyz",
        )


def _document(data: bytes, request: str) -> Json:
    try:
        found = msgspec.json.decode(data)  # half the time of the standard library's on a long list
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ClusterError(
            f"{request}: the answer is not JSON, so something else than an API server wrote it",
            hint="look at the server's address in the kubeconfig, and at proxies on the way",
        ) from exc
    return found if isinstance(found, dict) else {}


def may_have_been_done(error: TiersError) -> bool:
    """Tell whether a POST or PUT that ended so was perhaps done all the same, so that reading has to tell."""
    if isinstance(error, RefusedError):
        return error.status != _TOO_MANY and _may_pass(error.status, error.message.encode(), twice=True)
    return isinstance(error, UnreachableError)


def _may_pass(status: int, data: bytes, *, twice: bool) -> bool:
    if status == _TOO_MANY or (twice and status in _BUSY):
        return True
    return twice and status == 500 and any(word.encode() in data for word in _SLOW_STORE)  # noqa: PLR2004


def _pause(attempt: int, asked: str) -> None:
    """Wait before the next attempt: as long as the server asks, else longer each time, never all clients at once."""
    seconds = float(asked) if asked.isdigit() else FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311
    threading.Event().wait(min(seconds, LONGEST_PAUSE_SECONDS))
