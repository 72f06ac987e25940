"""Tell the devices of a site which answers of a model they shall no longer give: `tiers fleet forget`.

Reads what was said last (its mark is retained), says the next thing after it, and waits until the broker has it.
Devices that are away hear it when they come back; see `wire.forget`.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty
from typing import Final

from toolkit.errors import IntegrityError, UnreachableError
from toolkit.fleet.reports import CONNECT_SECONDS, QUIET_SECONDS, SETTLE_SECONDS, SLOW_SECONDS
from toolkit.link.link import Connected, Disconnected, Link
from toolkit.wire.document import encode_json
from toolkit.wire.forget import Forget, decode_forget
from toolkit.wire.topics import Topics

_MARK_BYTES: Final = 16
_STEP_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Said:
    """What the devices were told."""

    model: str
    labels: tuple[str, ...]
    pattern: str
    mark: str
    after: str
    """The mark before it; empty when nothing, or nothing of any sense, was retained: devices then forget everything."""


def forget_answers(
    link: Link,
    topics: Topics,
    model: str,
    *,
    name: str,
    labels: Sequence[str] = (),
    pattern: str = "",
    address: str = "the broker",
    seconds: float = CONNECT_SECONDS,
) -> Said:
    """Say it. The link must not be connected yet, and stays open.

    Args:
        link: to the broker of the site.
        topics: of the site.
        model: whose answers.
        name: of this client, in the site's words for a name.
        labels: `cache_id` of the answers that are meant.
        pattern: of such labels, where `*` stands for any characters; neither means every answer of the model.
        address: how to name the broker in an error.
        seconds: how long the broker may take to let us in; one that is so slow that nothing has gone wrong by then gets
            SLOW_SECONDS more.

    Raises:
        IntegrityError: a label or a pattern is too long, or there are too many.
        UnreachableError: the broker does not answer, or does not take it.
    """
    topic, echo = topics.forget(model), topics.echo(name)
    mark = secrets.token_hex(_MARK_BYTES)
    forget = Forget(mark=mark, labels=tuple(labels), pattern=pattern)
    decode_forget(encode_json(forget), what="what you ask for")  # before anything is said
    link.subscribe(topic, qos=1)
    link.subscribe(echo, qos=1)
    link.connect()
    after = _mark_of(_last_said(link, topic, echo, address, seconds))
    forget = Forget(mark=mark, after=after, labels=forget.labels, pattern=pattern)
    link.publish(topic, encode_json(forget), qos=1, retain=True)
    if not link.flush(SETTLE_SECONDS):
        raise UnreachableError(f"{address} has not taken it", hint="try again; repeating it is harmless")
    return Said(model, forget.labels, pattern, mark, after)


def _last_said(link: Link, topic: str, echo: str, address: str, seconds: float) -> bytes:
    """Take events until what is retained must have come: our echo, and a little silence behind it."""
    said, echoed_at, problem = b"", math.inf, ""
    deadline, slow = time.monotonic() + seconds, SLOW_SECONDS
    while time.monotonic() < min(deadline + slow, echoed_at + QUIET_SECONDS):
        try:
            event = link.events.get(timeout=_STEP_SECONDS)
        except Empty:
            continue
        if isinstance(event, Connected):
            deadline, slow = time.monotonic() + SETTLE_SECONDS, 0.0
            link.publish(echo, b"1", qos=1)
        elif isinstance(event, Disconnected):
            problem, echoed_at, slow = event.reason, math.inf, 0.0
        elif event.topic == topic:
            said = event.payload
        else:
            echoed_at = time.monotonic()
    if echoed_at == math.inf:
        raise UnreachableError(
            f"{address} does not answer: {problem or 'it says nothing'}", hint="tiers doctor --broker"
        )
    return said


def _mark_of(payload: bytes) -> str:
    try:
        return decode_forget(payload, what="what was said last").mark
    except IntegrityError:
        return ""
