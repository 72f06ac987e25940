"""One apply, written down so that it can be applied again: objects ↔ compressed bytes. Pure; `history` keeps them.

Format (docs/formats.md): a canonical JSON document with every object that was wanted, BLAKE3 over it, gzip without a
time, cut into parts of PART_BYTES. Nothing is trusted when it is read: sizes are bounded before memory is taken, the
digest is checked before the document is read, and each object has to be one of this topology.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from toolkit.cluster.applyset import ApplySet, labels_of
from toolkit.errors import IntegrityError
from toolkit.render.metadata import TOPOLOGY_LABEL
from toolkit.render.rendered import RenderedObject
from toolkit.wire.digest import digest_of
from toolkit.wire.document import Document, decode_json, encode_json

PART_BYTES = 512 * 1024
"""Bytes of one part; a ConfigMap holds at most 1 MiB."""
MOST_PARTS = 16
MOST_BYTES = 64 * 2**20
"""Uncompressed bytes of a revision at most: some ten thousand objects."""
_GZIP = 16 + zlib.MAX_WBITS
_CURE = "tiers history lists the others"


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One object and what of tiers.yaml it stands for."""

    source: str
    body: dict[str, Any]


class RevisionDocument(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All objects of one cluster, in apply order."""

    topology: str
    objects: tuple[Kept, ...]


def document_of(topology: str, objects: Sequence[RenderedObject]) -> bytes:
    """Write objects down; equal objects give equal bytes."""
    kept = tuple(Kept(each.source, dict(each.body)) for each in sorted(objects, key=lambda one: one.order))
    return encode_json(RevisionDocument(topology=topology, objects=kept))


def compressed(document: bytes) -> list[bytes]:
    """Give a document as parts that are kept; equal documents give parts that read back equal.

    Raises:
        IntegrityError: it has more than MOST_BYTES, or they would be more than MOST_PARTS.
    """
    packed = gzip.compress(document, mtime=0) if len(document) <= MOST_BYTES else b""
    parts = [packed[start : start + PART_BYTES] for start in range(0, len(packed), PART_BYTES)]
    if not 1 <= len(parts) <= MOST_PARTS:
        raise IntegrityError(
            f"it would have {len(document)} bytes (at most {MOST_BYTES}), compressed {len(packed)} (at most "
            f"{MOST_PARTS * PART_BYTES})",
            hint="keep tiers.yaml in git to go back",
        )
    return parts


def unpack(
    applyset: ApplySet, cluster: str, parts: Sequence[bytes], digest: str, what: str
) -> tuple[RenderedObject, ...]:
    """Read objects back.

    Args:
        applyset: whose they have to be.
        cluster: name of the cluster that they are for.
        parts: as `compressed` gave them.
        digest: of the document.
        what: how to name it in an error, such as "revision 3".

    Raises:
        IntegrityError: they are not what was written, too large, or objects of somebody else.
    """
    document = _decompressed(b"".join(parts), what)
    if digest_of(document) != digest:
        raise IntegrityError(f"{what} is not what was written: its digest does not fit", hint=_CURE)
    read = decode_json(document, RevisionDocument, what=what, limit=MOST_BYTES)
    if read.topology != applyset.topology:
        raise IntegrityError(f"{what} is one of the topology {read.topology}", hint=_CURE)
    objects = tuple(RenderedObject(cluster, each.source, each.body) for each in read.objects)
    for each in objects:
        _check_owner(each, applyset, what)
    return objects


def _decompressed(packed: bytes, what: str) -> bytes:
    engine = zlib.decompressobj(_GZIP)
    try:
        document = engine.decompress(packed, MOST_BYTES)
    except zlib.error as exc:
        raise IntegrityError(f"{what} cannot be decompressed: {exc}", hint=_CURE) from exc
    if not engine.eof or engine.unused_data:
        raise IntegrityError(
            f"{what} is cut off, or larger than {MOST_BYTES >> 20} MiB when it is decompressed", hint=_CURE
        )
    return document


def _check_owner(rendered: RenderedObject, applyset: ApplySet, what: str) -> None:
    """Refuse an object that this topology would not have rendered: who may write a ConfigMap may not write all else."""
    body, metadata = rendered.body, rendered.body.get("metadata")
    if not (isinstance(metadata, Mapping) and "name" in metadata and {"apiVersion", "kind"} <= body.keys()):
        raise IntegrityError(f"{what} has an object without apiVersion, kind or name", hint=_CURE)
    if labels_of(body).get(TOPOLOGY_LABEL) != applyset.topology:
        raise IntegrityError(f"{what} has {rendered.kind} {rendered.name}, not of this topology", hint=_CURE)
    if rendered.namespace not in {"", applyset.namespace}:
        raise IntegrityError(
            f"{what} has {rendered.kind} {rendered.name} in the namespace {rendered.namespace}", hint=_CURE
        )
