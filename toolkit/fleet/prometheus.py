"""Ask a Prometheus for the figures that a rollout's conditions go by (`abort_if.queries` in tiers.yaml).

    Rollout.spec.queries -> Figures (a thread that asks every so often) -> steer -> protocol.waves judges

The driver never waits for an answer. A figure that has become old counts no more, and a condition without a figure lets
no wave end: a rollout whose Prometheus is gone stands still instead of going on blindly.
https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
"""

from __future__ import annotations

import logging
import math
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

import msgspec

from toolkit.errors import UnreachableError, UsageError
from toolkit.wire.learnt import learn
from toolkit.wire.rollout import Query

log = logging.getLogger(__name__)

ASK_SECONDS: Final = 15.0
"""Between two questions for one figure; Prometheus scrapes no more often by default."""
OLD_AFTER: Final = 60.0
"""Seconds after which a figure counts no more."""
TIMEOUT_SECONDS: Final = 10.0
MOST_BYTES: Final = 1024 * 1024
"""Of an answer: a figure needs a hundred."""
TOKEN_BYTES: Final = 64 * 1024
_SAID_WHY: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
"""With these Prometheus says in the body what is wrong with a query."""
_SHOWN: Final = 200
"""Characters of what somebody else wrote, in a log."""


class _Answer(msgspec.Struct):
    """What Prometheus answers to an instant query, as far as it matters here."""

    status: str
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    error: str = ""


class _NoRedirect(HTTPRedirectHandler):
    """A token goes to the address that was given and to no other."""

    def redirect_request(self, *_: object) -> None:
        return None


@dataclass(frozen=True)
class Prometheus:
    """Where a Prometheus is, and how to ask it."""

    url: str
    """What stands before /api/v1."""
    token_file: Path | None = None
    """Read for each question, so that a token may be renewed."""
    ca_file: Path | None = None
    """PEM of its authority; None means the system's."""

    def __post_init__(self) -> None:
        """Check the address.

        Raises:
            UsageError: it is none, or a token would go over plain HTTP.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise UsageError(
                f"--prometheus: {self.url[:_SHOWN]} is no address such as http://prometheus:9090"
            )
        if parts.username or parts.password:
            raise UsageError("--prometheus: a password does not stand in an address; use --prometheus-token")
        if self.token_file is not None and parts.scheme != "https":
            raise UsageError("--prometheus: a token is sent over https only")

    def ask(self, promql: str) -> float:
        """Give the one figure that a query has at this moment.

        Raises:
            UnreachableError: nobody answers, or not in time.
            UsageError: the query is wrong, or gives none or several figures.
        """
        place = f"{self.url.rstrip('/')}/api/v1/query"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            if self.token_file is not None:
                with self.token_file.open(encoding="ascii") as file:
                    headers["Authorization"] = f"Bearer {file.read(TOKEN_BYTES).strip()}"
            body = urlencode({"query": promql, "timeout": f"{TIMEOUT_SECONDS:.0f}s"}).encode()
            request = Request(place, data=body, headers=headers)  # noqa: S310 -- __post_init__ saw to the scheme
            data = self._send(request)
        except (OSError, HTTPException, UnicodeError) as exc:
            raise UnreachableError(
                f"Prometheus at {self.url} does not answer: {exc}",
                hint="see that it runs, and that this machine may reach it",
            ) from exc
        return _figure(data, promql)

    def _send(self, request: Request) -> bytes:
        cafile = None if self.ca_file is None else str(self.ca_file)
        opener = build_opener(_NoRedirect, HTTPSHandler(context=ssl.create_default_context(cafile=cafile)))
        try:
            with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return bytes(answer.read(MOST_BYTES))
        except HTTPError as error:
            with error:
                if error.code in _SAID_WHY:
                    return error.read(MOST_BYTES)
            raise


def _figure(data: bytes, promql: str) -> float:
    """Take the figure out of an answer: a scalar, or the only sample of a vector. Raises UsageError."""
    what = f"the query {promql[:_SHOWN]!r}"
    try:
        answer = msgspec.json.decode(data, type=learn(_Answer))
        if answer.status != "success":
            raise UsageError(
                f"{what} was refused: {answer.error[:_SHOWN]}", hint="try it in Prometheus' own page"
            )
        kind, result = answer.data["resultType"], answer.data["result"]
        if kind == "vector" and len(result) != 1:
            cure = "put sum(…), avg(…) or max(…) around it" if result else "see that the series exist"
            raise UsageError(f"{what} gives {len(result)} figures instead of one", hint=cure)
        pair = result[0]["value"] if kind == "vector" else result
        value = float(pair[1])
    except (msgspec.MsgspecError, KeyError, IndexError, TypeError, ValueError) as exc:
        raise UsageError(f"{what}: what came back is no answer of Prometheus") from exc
    if not math.isfinite(value):
        raise UsageError(f"{what} gives {value}", hint="nothing was counted yet, or a division by zero")
    return value


class Figures:
    """Asks for the figures of all running rollouts, in a thread of its own."""

    def __init__(
        self,
        ask: Callable[[str], float],
        *,
        every: float = ASK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            ask: gives the figure of a query; raises UnreachableError or UsageError.
            every: seconds between two questions for one figure.
            clock: seconds that only grow.
        """
        self._ask = ask
        self._every = every
        self._clock = clock
        self._wanted: frozenset[str] = frozenset()
        self._known: dict[str, tuple[float, float]] = {}
        self._problems: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="figures", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def close(self) -> None:
        """Ask no more."""
        self._stop.set()

    def of(self, queries: Sequence[Query]) -> Mapping[str, float]:
        """Give the figures that are known and fresh, by the names of the queries."""
        now = self._clock()
        known = {query.name: self._known.get(query.promql) for query in queries}
        return {name: held[0] for name, held in known.items() if held and now - held[1] < OLD_AFTER}

    def want(self, queries: Sequence[Query]) -> None:
        """Say what is needed from now on; what is not there is forgotten."""
        self._wanted = frozenset(query.promql for query in queries)

    def ask_all(self) -> None:
        """Ask once for everything that is wanted."""
        wanted = self._wanted
        for gone in self._known.keys() - wanted:
            del self._known[gone]
        for promql in sorted(wanted):
            try:
                self._known[promql] = self._ask(promql), self._clock()
                problem = ""
            except (UnreachableError, UsageError) as error:
                problem = f"{error.message}; {error.hint}" if error.hint else error.message
            if problem and problem != self._problems.get(promql):
                log.warning("a rollout waits for a figure: %s", problem)
            self._problems[promql] = problem

    def _work(self) -> None:
        while not self._stop.wait(self._every if self._known else min(self._every, 1.0)):
            self.ask_all()
