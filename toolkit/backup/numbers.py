"""The numbers of a document that only grow, so that two of the same name can be put in order. For `plan`.

Seals are not looked at here: who uses a document checks its seal; this only says which of two is the later one.
"""

from __future__ import annotations

import msgspec

from toolkit.errors import TiersError
from toolkit.sync.below import manifest_of
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.ref import Ref
from toolkit.wire.document import MAX_DOCUMENT_BYTES, decode_json
from toolkit.wire.signature import Sealed

_FIELDS = {"rollout": ("number", "seq"), "course": ("number", "fence", "seq"), "desired": ("seq",)}


def ref_numbers(documents: Documents, ref: Ref) -> tuple[int, ...]:
    """Give what orders two Refs of one name: a route's sequence or a model's counter, then when they were written."""
    if ref.kind == "manifest":
        try:
            return (manifest_of(documents, ref.digest).counter, ref.written_ms)
        except TiersError:
            return (0, ref.written_ms)
    return (ref.sequence, ref.written_ms)


def document_numbers(topic: str, data: bytes) -> tuple[int, ...] | None:
    """Give the numbers of a retained document; None when it has none: a report, a manifest, a forget."""
    parts = topic.split("/")
    kind = "rollout" if parts[-2] == "r" else "course" if parts[-1] == "c" else parts[-1]
    if kind not in _FIELDS:
        return None
    try:
        sealed = decode_json(data, Sealed, what=topic, limit=2 * MAX_DOCUMENT_BYTES)
        fields = msgspec.json.decode(sealed.payload, type=dict[str, object])
    except (TiersError, msgspec.DecodeError):
        return (-1,)  # what cannot be read is older than anything that can
    numbers = (fields.get(name, 0) for name in _FIELDS[kind])
    return tuple(number if isinstance(number, int) else 0 for number in numbers)
