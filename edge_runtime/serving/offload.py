"""Answers with the help of another server of ours: the hot tier's service (vertical), or another device (horizontal).

The desk asks it when the ladder says so, or when the model cannot be loaded here. A question goes out as it came, in
the Open Inference Protocol with binary tensors, with what is left of its time, and with a header that forbids the other
server to pass it on again: so it cannot go in circles. Whatever keeps the other one from answering is an OffloadError,
upon which the desk goes on here; a `breaker` spares it the wait when that lasts.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Final

from edge_runtime.serving.ask import Answer, Ask
from edge_runtime.serving.breaker import Breaker
from edge_runtime.serving.far_server import FarServer, Reply
from edge_runtime.serving.question import decode_answer, encode_question, headers_of
from edge_runtime.serving.refusals import DeadlineError, OffloadError
from toolkit.errors import IntegrityError
from toolkit.wire.device_config import ModelConfig
from toolkit.wire.offload import OffloadConfig

log = logging.getLogger(__name__)

AT_ONCE: Final = 64
"""Questions that may be on their way; more are answered here."""
_BUSY: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_ITS_OWN_FAULT: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.GATEWAY_TIMEOUT})
"""Answers that say something of the question, and nothing of the server."""


class Offload:
    """Another server that answers for one model."""

    def __init__(self, config: OffloadConfig, *, now: Callable[[], float] = time.monotonic) -> None:
        """Connect to nothing yet; `now` is the breaker's clock."""
        self._config = config
        self._server = FarServer(config)
        self._now = now
        self._breaker = Breaker()
        self._on_the_way = 0
        self.outcomes: Counter[str] = Counter()
        """Questions by what became of them: ok, busy (its answer, or ours when too many are on their way), failed,
        timeout, refused, open (not asked)."""

    async def answer(self, ask: Ask) -> Answer:
        """Let the other server answer.

        Raises:
            OffloadError: it does not.
            DeadlineError: the question's own time is over.
        """
        if self._on_the_way >= AT_ONCE:
            raise self._failure("busy", "too many questions are on their way to the other machine")
        if not self._breaker.allows(self._now()):
            raise self._failure("open", "the other machine has failed and is left alone for a while")
        self._on_the_way += 1
        try:
            return await self._ask(ask)
        except asyncio.CancelledError:
            self._breaker.unsaid()
            raise
        finally:
            self._on_the_way -= 1

    async def close(self) -> None:
        """Close its connections."""
        await self._server.close()

    async def _ask(self, ask: Ask) -> Answer:
        left = ask.deadline - time.perf_counter()
        head, blobs = encode_question(ask)
        parts = ["v2", "models", ask.model, *(["versions", ask.version] if ask.version else []), "infer"]
        sending = self._server.post(parts, headers_of(ask, len(head), {}), [head, *blobs])
        try:
            reply = await asyncio.wait_for(sending, max(min(left, self._config.timeout_seconds), 0.0))
            return self._read(reply, ask)
        except asyncio.TimeoutError as exc:
            if left < self._config.timeout_seconds:  # its time was too short, which may be nobody's fault
                self._breaker.unsaid()
                raise self._too_late() from exc
            raise self._broken("timeout", f"no answer within {self._config.timeout_seconds:g} s") from exc
        except (
            OSError,
            ValueError,
            IntegrityError,
        ) as exc:  # ssl.SSLError is an OSError, a bad token a ValueError
            raise self._broken("failed", str(exc) or type(exc).__name__) from exc

    def _read(self, reply: Reply, ask: Ask) -> Answer:
        if reply.status == HTTPStatus.OK:
            answer = decode_answer(
                bytes(reply.body), reply.headers.get("inference-header-content-length"), ask.wanted
            )
            self._breaker.answered()
            self.outcomes["ok"] += 1
            return answer
        if reply.status == HTTPStatus.GATEWAY_TIMEOUT and ask.deadline < math.inf:
            self._breaker.answered()
            raise self._too_late()
        said = f"{reply.status} {reply.body[:200].decode('utf-8', 'replace')}"
        if reply.status in _ITS_OWN_FAULT:
            self._breaker.answered()
            raise self._failure("refused", said)
        if reply.status in _BUSY:
            after = reply.headers.get("retry-after", "")
            self._breaker.failed(self._now(), pause=float(after) if after.isdecimal() else 1.0)
            raise self._failure("busy", said)
        raise self._broken("failed", said)

    def _too_late(self) -> DeadlineError:
        self.outcomes["timeout"] += 1
        return DeadlineError("there was no result within the request's time-out")

    def _broken(self, outcome: str, why: str) -> OffloadError:
        was_closed = self._breaker.closed
        self._breaker.failed(self._now())
        if was_closed and not self._breaker.closed:
            log.warning("%s is left alone for a while: %s", self._config.url, why)
        return self._failure(outcome, why)

    def _failure(self, outcome: str, why: str) -> OffloadError:
        self.outcomes[outcome] += 1
        return OffloadError(f"{self._config.url} does not answer for us: {why}")


def offloads_of(models: Iterable[ModelConfig]) -> Mapping[str, Offload]:
    """Make an Offload for each model that another server answers for."""
    return {model.name: Offload(model.offload) for model in models if model.offload is not None}
