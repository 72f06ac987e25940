"""Inference over MQTT: questions come on `i/DEVICE/MODEL/CLIENT`, answers go on `o/CLIENT/DEVICE`. Off by default.

Between the link, whose messages `edge_runtime.ear` brings, and the routes, which answer it like a POST to
`/v2/models/MODEL/infer`: the payload is the body of the Open Inference Protocol, JSON or with its binary extension.
What are headers there are words of the message's letter here; its expiry is the question's deadline. A client of MQTT
3.1.1 sends JSON, and may end its topic with a reference of its own, which then ends the answer's topic too.

Who asks is the topic's level CLIENT, which the broker's rules keep for the one of that name. An answer goes to that
client and nobody else: a topic for the answer that is not below its own is refused, there, so nobody can make a device
speak on another's topics. Before anything is decoded, size, rate and number are limited.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import msgspec

from edge_runtime.serving.http import Request, Response, error_response
from edge_runtime.serving.tensors import HEADER_LENGTH
from edge_runtime.serving.turnstile import Turnstile
from toolkit.errors import IntegrityError
from toolkit.link.link import Arrived, Letter
from toolkit.wire.topics import Question, Topics

log = logging.getLogger(__name__)

WORDS: Final = frozenset({HEADER_LENGTH.lower(), "traceparent"})
"""Words of a letter that are heard; the others are left out, so that nothing of HTTP's own can be meant by them."""
LONGEST_TOPIC: Final = 256
STALE_SECONDS: Final = 30
"""Expiry of an answer to a question that had none."""
LONGEST_EXPIRY: Final = 24 * 3600
MOST_REFUSALS: Final = 64
"""That wait to be sent; in a flood of questions more are dropped without a word."""
_LEAST_SECONDS: Final = 0.01
"""An answer that has less left is not sent."""
_LEVEL: Final = re.compile(r"[^+#/\x00-\x1f\x7f]{1,64}")
Publish = Callable[[str, bytes, Letter], Awaitable[None]]
Respond = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class DoorLimits:
    """What clients may cost."""

    payload_bytes: int = 256 * 1024
    """Largest question, and largest answer, which is what the broker takes."""
    in_flight: int = 32
    """Questions that are worked on at the same time."""
    of_one_client: int = 8
    per_second: float = 20.0
    """Questions of one client; a second's worth may come at once."""


@dataclass(frozen=True)
class _Way:
    """Where an answer goes."""

    topic: str
    correlation: bytes
    expires: float


class MqttDoor:
    """Takes questions; for the event loop."""

    def __init__(
        self,
        topics: Topics,
        device: str,
        respond: Respond,
        publish: Publish,
        limits: DoorLimits | None = None,
    ) -> None:
        """Stand before `respond`.

        Args:
            topics: of the site.
            device: whose questions these are.
            respond: answers a request of the protocol; never raises.
            publish: sends a message with its letter; waits while the link is slow.
            limits: what clients may cost.
        """
        self._topics = topics
        self._device = device
        self._respond = respond
        self._publish = publish
        self._limits = limits or DoorLimits()
        self._turnstile = Turnstile(self._limits.of_one_client, self._limits.per_second)
        self._in_flight = 0
        self._refusing = 0
        self.ignored = 0
        """Messages that were no question, or for whose refusal there was no room."""

    async def take(self, message: Arrived) -> None:
        """Answer a message that is a question.

        One that is retained is not: it would be answered again at each connection.
        """
        arrived = time.perf_counter()
        try:
            question = self._topics.question_of(message.topic)
        except IntegrityError:
            self.ignored += 1
            return
        if message.retained or not message.payload or question.device != self._device:
            self.ignored += 1
            return
        letter = message.letter or Letter()
        expiry = math.inf if letter.expiry_seconds is None else min(letter.expiry_seconds, LONGEST_EXPIRY)
        own = self._topics.answer(question.client, self._device)
        way = _Way(
            f"{own}/{question.reference}" if question.reference else own, letter.correlation, arrived + expiry
        )
        if refusal := self._find_fault(message, letter, own):
            await self._refuse(way, refusal)
            return
        if letter.reply_to:
            way = _Way(letter.reply_to, letter.correlation, way.expires)
        wait = 1.0 if self._in_flight >= self._limits.in_flight else self._turnstile.enter(question.client)
        if wait:
            text = "this device answers as many questions as it can, or this client asks too fast"
            await self._refuse(way, _later(text, wait))
            return
        self._in_flight += 1
        try:
            await self._answer(way, await self._respond(_request(question, message, letter, way.expires)))
        finally:
            self._in_flight -= 1
            self._turnstile.leave(question.client)

    def _find_fault(self, message: Arrived, letter: Letter, own: str) -> Response | None:
        most = self._limits.payload_bytes
        if len(message.payload) > most:
            text = (
                f"a question of {len(message.payload)} bytes is too large; at most {most} are taken over MQTT"
            )
            return error_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
        if letter.reply_to and not _is_below(letter.reply_to, own):
            text = f"the topic for the answer must be {own} or lie below it"
            return error_response(HTTPStatus.FORBIDDEN, text)
        heard = [name.lower() for name, _ in letter.words if name.lower() in WORDS]
        if len(heard) > len(set(heard)):
            return error_response(HTTPStatus.BAD_REQUEST, "a word of the letter is there twice")
        return None

    async def _refuse(self, way: _Way, refusal: Response) -> None:
        if self._refusing >= MOST_REFUSALS:
            self.ignored += 1
            return
        self._refusing += 1
        try:
            await self._answer(way, refusal)
        finally:
            self._refusing -= 1

    async def _answer(self, way: _Way, response: Response) -> None:
        size = sum(len(part) for part in response.body)
        if size > self._limits.payload_bytes:
            most = self._limits.payload_bytes
            text = f"the answer has {size} bytes; at most {most} go over MQTT: ask for fewer outputs"
            response = error_response(HTTPStatus.INSUFFICIENT_STORAGE, text)
        words = [("status", str(int(response.status)))]
        words += [
            (name, value)
            for name, value in response.headers.items()
            if name in {HEADER_LENGTH, "Retry-After"}
        ]
        left = way.expires - time.perf_counter()
        if left <= _LEAST_SECONDS:
            return  # nobody waits for it any more
        expiry = STALE_SECONDS if left == math.inf else max(math.ceil(left), 1)
        payload = _payload(response)
        await self._publish(way.topic, payload, Letter("", way.correlation, expiry, tuple(words)))


def _payload(response: Response) -> bytes:
    """Give the bytes of an answer; a refusal says in itself what a client without letters could not see."""
    payload = b"".join(response.body)
    if response.status == HTTPStatus.OK:
        return payload
    said = {**msgspec.json.decode(payload, type=dict[str, str]), "status": int(response.status)}
    if "Retry-After" in response.headers:
        said["retry_after"] = int(response.headers["Retry-After"])
    return msgspec.json.encode(said)


def _request(question: Question, message: Arrived, letter: Letter, expires: float) -> Request:
    headers = {name.lower(): value for name, value in letter.words if name.lower() in WORDS}
    path = f"/v2/models/{question.model}/infer"
    return Request("POST", path, headers, message.payload, client=f"mqtt {question.client}", expires=expires)


def _is_below(topic: str, own: str) -> bool:
    """Say whether a topic is a client's own for answers of this device, or a plain one below it."""
    if topic == own:
        return True
    if len(topic) > LONGEST_TOPIC or not topic.startswith(f"{own}/"):
        return False
    return all(_LEVEL.fullmatch(level) for level in topic[len(own) + 1 :].split("/"))


def _later(text: str, seconds: float) -> Response:
    return error_response(HTTPStatus.TOO_MANY_REQUESTS, text, Retry_After=str(max(math.ceil(seconds), 1)))
