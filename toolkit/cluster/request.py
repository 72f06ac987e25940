"""One request to an API server: raw dicts over a pool of connections, with retries of what is safe to repeat.

Made by `connect`; `kinds`, `diff`, `apply`, `wait` and `status` speak through it. Retried are 429, 502, 503, 504, a
500 that says that etcd was slow, and broken connections. A 500 with a schema error is final: server-side apply gives
one for a wrong type in a custom resource. Repeating is safe because reading and server-side apply are idempotent.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode

from urllib3.exceptions import HTTPError

from toolkit.cluster.refusal import refused
from toolkit.errors import UnreachableError

Json = dict[str, object]
Login = Callable[[], Mapping[str, str]]
"""Gives the headers that say who we are, anew for each request, because tokens run out."""
APPLY_PATCH = "application/apply-patch+yaml"
ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 30.0
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
LARGEST_ANSWER = 256 * 2**20
"""Bytes of one answer that are read at most; a page of objects is far below."""
_BUSY = frozenset({429, 502, 503, 504})
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

    def get(self, path: str, **query: str) -> Json:
        """Read one document. Raises RefusedError, UnreachableError."""
        return self.send("GET", path, query)

    def send(self, method: str, path: str, query: Mapping[str, str], body: object = None) -> Json:
        """Send a request that may be repeated, and give the answer's document.

        Args:
            method: GET, or PATCH for a server-side apply.
            path: such as /api/v1/namespaces.
            query: parameters of the URL.
            body: the object for a PATCH.

        Raises:
            RefusedError: the server said no; ConflictError when another manager owns a field.
            UnreachableError: it does not answer, or is busy still after all attempts.
        """
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                answer = self.open(method, path, query, body, READ_SECONDS)
                data = answer.read(LARGEST_ANSWER)
                answer.release_conn()
            except HTTPError as exc:
                if last:
                    raise self.unreachable(exc) from exc
                _pause(attempt, "")
                continue
            if answer.status < _REFUSED_FROM:
                return _document(data)
            if last or not _may_pass(answer.status, data):
                raise refused(answer.status, data, f"{method} {path}")
            _pause(attempt, answer.headers.get("Retry-After", ""))
        raise AssertionError("the last attempt returns or raises")  # pragma: no cover

    def open(
        self, method: str, path: str, query: Mapping[str, str], body: object, read_seconds: float
    ) -> Answer:
        """Send one request once and give the open answer; `wait` reads its watches from it."""
        from urllib3 import Timeout

        headers = {"Accept": "application/json", **self.login()}
        if body is not None:
            headers["Content-Type"] = APPLY_PATCH
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


def _document(data: bytes) -> Json:
    found = json.loads(data)
    return found if isinstance(found, dict) else {}


def _may_pass(status: int, data: bytes) -> bool:
    if status in _BUSY:
        return True
    return status == 500 and any(word.encode() in data for word in _SLOW_STORE)  # noqa: PLR2004


def _pause(attempt: int, asked: str) -> None:
    """Wait before the next attempt: as long as the server asks, else longer each time, never all clients at once."""
    seconds = float(asked) if asked.isdigit() else FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311
    threading.Event().wait(min(seconds, LONGEST_PAUSE_SECONDS))
