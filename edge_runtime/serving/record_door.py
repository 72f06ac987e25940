"""Where programs on the device put records down: POST /v2/tiers/records; `routes` asks it, `posting` keeps them.

    {"records": [{"kind": "result", "priority": 2, "text": "..."}, {"kind": "frame", "data": "base64"}]}
    200 {"epoch": "0123456789abcdef", "first": 17, "last": 18}

200 means accepted, see `edge_runtime.posting`: durable, and on its way as soon as there is one. All of a request is
accepted or nothing of it. A client that gets no answer does not know; if it asks again, the records may be there twice,
so records that must not be should carry a name of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from http import HTTPStatus
from typing import Final, Protocol

import msgspec

from edge_runtime.posting import MAX_TOGETHER_BYTES, BusyOutboxError, Note
from edge_runtime.serving.http import Buffer, Response, json_response
from edge_runtime.serving.refusals import BadRequestError, NotReadyError, OverloadedError
from toolkit.errors import IntegrityError, StoreError

LONGEST_BODY: Final = 4 * MAX_TOGETHER_BYTES
"""Base64 and escapes make a body longer than its payloads."""


class Takes(Protocol):
    """An outbox, as this door needs it."""

    @property
    def epoch(self) -> str:
        """What tells this outbox from others."""
        ...

    def put_all(self, notes: Sequence[Note], *, urgent: bool = False) -> Future[int]:
        """Put records down; see `Outbox.put_all`."""
        ...


class _Given(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    priority: int = 3
    text: str | None = None
    data: bytes | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    records: list[_Given]


class Accepted(msgspec.Struct, frozen=True):
    """The names of the records: (device, epoch, seq) from first to last."""

    epoch: str
    first: int
    last: int


_decoder = msgspec.json.Decoder(_Body)


async def respond(outbox: Takes | None, body: Buffer) -> Response:
    """Answer a POST to /v2/tiers/records once all its records are durable.

    Raises:
        RequestError: nothing of it was accepted.
    """
    if len(body) > LONGEST_BODY:
        raise BadRequestError(f"{len(body)} bytes of records; at most {LONGEST_BODY} are read at once")
    try:
        given = _decoder.decode(body).records
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"the body is no list of records in JSON: {error}") from error
    if not given or any((each.text is None) == (each.data is None) for each in given):
        raise BadRequestError("a request has at least one record, and each has either text or data (base64)")
    if outbox is None:
        raise NotReadyError("this device has no outbox; its log says why")
    try:
        notes = [Note(each.kind, each.priority, _payload(each)) for each in given]
        first = await asyncio.wrap_future(outbox.put_all(notes, urgent=True))
    except IntegrityError as error:
        raise BadRequestError(f"{error.message}; {error.hint}") from error
    except UnicodeEncodeError as error:
        raise BadRequestError(f"a text is no Unicode: {error}") from error
    except BusyOutboxError as error:
        raise OverloadedError(error.message) from error
    except (StoreError, OSError) as error:
        raise NotReadyError(f"the records were not kept: {error}") from error
    return json_response(HTTPStatus.OK, Accepted(outbox.epoch, first, first + len(notes) - 1))


def _payload(given: _Given) -> bytes:
    return given.text.encode() if given.text is not None else given.data or b""
