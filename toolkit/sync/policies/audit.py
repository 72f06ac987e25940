"""The audit log: what was done to data, by whom, by which rule, from where to where. Append only.

    audit/DAY/TIME-RUN-PART.jsonl   a part of what one run did; JSON, a decision a line; written once, never changed

The objects lie with the documents of the first hot or warm storage that answers. `carry_out` and holds write here; an
object that is there is never written again, so a log can be copied away at any time.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

import msgspec

from toolkit.errors import IntegrityError
from toolkit.sync.layouts.documents import Documents
from toolkit.wire.document import Sparse
from toolkit.wire.learnt import learn

_ROOT = "audit/"


class Audited(Sparse, frozen=True, kw_only=True):
    """One line."""

    at_ms: int
    """When, in milliseconds since 1970."""
    who: str
    deed: str
    """copy, move, expire, evict, empty-trash, restore, hold, release; keep: one line for what a hold, pin or residency
    kept."""
    path: str
    """As people read it; bytes that are no text are escaped."""
    rule: str = ""
    size: int = 0
    """Bytes, of all objects that the line is about."""
    objects: int = 1
    source: str = ""
    """Address of the storage that it was in."""
    target: str = ""
    """Address of the storage that it went to."""
    outcome: str = ""
    """done, or why not."""
    reason: str = ""
    copies: tuple[str, ...] = ()
    """Storages whose copies were read back before something was taken away."""


class AuditLog:
    """Takes the lines of one run, in as many objects as it likes."""

    def __init__(self, documents: Documents, now_ms: int) -> None:
        """Write into the documents of a storage; `now_ms` is when the run began, in milliseconds since 1970."""
        moment = datetime.fromtimestamp(now_ms / 1000, tz=timezone.utc)
        self._documents = documents
        self._root = f"{_ROOT}{moment:%Y-%m-%d}/{moment:%H%M%S}-{secrets.token_hex(4)}"
        self._part = 0

    def append(self, lines: Sequence[Audited]) -> None:
        """Write some lines, durably when this returns; nothing is written for none.

        Raises:
            RemoteUnavailableError: the storage does not answer, or cannot be written.
        """
        if not lines:
            return
        self._part += 1
        data = b"".join(msgspec.json.encode(line, order="sorted") + b"\n" for line in lines)
        self._documents.remote.write_new(f"{self._root}-{self._part:06d}.jsonl", data)


def read_audit(documents: Documents, day: str = "") -> Iterator[Audited]:
    """Yield the lines of a day (YYYY-MM-DD, UTC), or of all days, in order of their runs.

    Raises:
        IntegrityError: an object was damaged.
        RemoteUnavailableError: the storage does not answer.
    """
    for found in documents.remote.list(f"{_ROOT}{day}/" if day else _ROOT):
        for line in documents.remote.read(found.key).splitlines():
            try:
                yield msgspec.json.decode(line, type=learn(Audited))
            except msgspec.DecodeError as error:
                raise IntegrityError(
                    f"{documents.remote.url}/{found.key} is no audit log: {error}"
                ) from error
