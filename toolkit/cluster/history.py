"""What was applied to a cluster and when: a revision after each apply that changed something. After `apply`.

Revisions rest in the topology's namespace as ConfigMaps (format in docs/formats.md): the first part carries who, when
and how in its annotations, and is written last, so that a revision which is listed is whole. The last KEPT stay, and of
older ones the last that was complete. `rollback` reads them; `revision` is what they hold.

An apply that was killed after its last write left no revision; the next one sees that the newest revision says
something else than what is applied now, and writes it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from toolkit.cluster.applyset import PART, REVISION, ApplySet, annotations_of, applyset_of, labels_of
from toolkit.cluster.compare import MANAGER
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import get, key_of, list_all
from toolkit.cluster.outcome import Applied, Outcome
from toolkit.cluster.refusal import CONFLICT, NOT_FOUND, RefusedError
from toolkit.cluster.request import NAMES_ONLY, Connection, Json, may_have_been_done
from toolkit.cluster.revision import MOST_PARTS, compressed, document_of, unpack
from toolkit.errors import ClusterError, IntegrityError, UnreachableError, UsageError
from toolkit.render.metadata import NAME_LABEL, NOUN_LABEL, TOPOLOGY_LABEL, owner_labels
from toolkit.render.rendered import RenderedObject
from toolkit.wire.digest import digest_of

KEPT = 10
_FORMAT, _DIGEST, _PARTS = "tiers.dev/format", "tiers.dev/digest", "tiers.dev/parts"
_TIME, _USER, _COMMIT, _OUTCOME = "tiers.dev/time", "tiers.dev/user", "tiers.dev/commit", "tiers.dev/outcome"
_COUNTS, _ROLLBACK = "tiers.dev/counts", "tiers.dev/rollback-of"
_COMPLETE, _PARTIAL = "complete", "partial"
_ATTEMPTS = 5
_MAP = ("v1", "ConfigMap")


@dataclass(frozen=True)
class Author:
    """Who applies, for the record; from the command, because the library knows neither."""

    user: str
    """user@host."""
    commit: str = ""
    """The git commit of tiers.yaml, when there is one."""
    rollback_of: int = 0
    """The revision that is applied again; 0 for an apply of tiers.yaml."""


@dataclass(frozen=True)
class Revision:
    """One entry of the history."""

    number: int
    time: str
    """When it was applied (UTC, RFC 3339)."""
    user: str
    outcome: str
    """complete, or partial: some objects were refused."""
    counts: str
    """What was done, such as `3 created, 1 pruned`."""
    commit: str
    rollback_of: int
    digest: str
    parts: int
    uid: str

    @property
    def complete(self) -> bool:
        """Whether the cluster was as wanted then."""
        return self.outcome == _COMPLETE


def revisions(connection: Connection, applyset: ApplySet) -> tuple[Revision, ...]:
    """Give the history of a topology in a cluster, the oldest first. Reads annotations only.

    Raises:
        ClusterError: ConfigMaps may not be listed.
        UnreachableError: the server does not answer.
    """
    kinds = Kinds(connection)
    selector = f"{TOPOLOGY_LABEL}={applyset.topology},{NOUN_LABEL}={REVISION}"
    place = kinds.resource(*_MAP)
    found = list_all(kinds, place, selector, applyset.namespace, accept=NAMES_ONLY)
    return tuple(sorted((_revision(each) for each in found), key=lambda each: each.number))


def find(known: Sequence[Revision], number: int) -> Revision:
    """Give a revision by its number.

    Raises:
        UsageError: there is none.
    """
    for each in known:
        if each.number == number:
            return each
    numbers = ", ".join(str(each.number) for each in known) or "none yet"
    raise UsageError(f"there is no revision {number} (there are: {numbers})", hint="tiers history")


def stored(connection: Connection, applyset: ApplySet, chosen: Revision) -> tuple[RenderedObject, ...]:
    """Read the objects of a revision.

    Raises:
        IntegrityError: they are not what was written, or this version does not know their format.
        ClusterError: they may not be read.
        UnreachableError: the server does not answer.
    """
    kinds, what = Kinds(connection), f"revision {chosen.number}"
    if not 1 <= chosen.parts <= MOST_PARTS:
        raise IntegrityError(f"{what} says that it has {chosen.parts} parts", hint="tiers history")
    parts = []
    for part in range(1, chosen.parts + 1):
        body = get(kinds, (*_MAP, applyset.namespace, _name(applyset, chosen.number, part)))
        held = body.get("binaryData") if body else None
        text = held.get("objects") if isinstance(held, Mapping) else None
        try:
            parts.append(base64.b64decode(str(text or ""), validate=True))
        except binascii.Error as exc:
            raise IntegrityError(f"{what}, part {part} is not base64", hint="tiers history") from exc
    return unpack(applyset, connection.cluster, parts, chosen.digest, what)


def remember(  # what was applied, where, by whom
    connection: Connection,
    applyset: ApplySet,
    objects: Sequence[RenderedObject],
    applied: Applied,
    author: Author,
) -> Revision | None:
    """Write a revision if this apply changed something, or if the newest one says something else.

    Args:
        connection: the way to the cluster.
        applyset: whose history.
        objects: what was wanted there.
        applied: what became of it.
        author: who did it.

    Returns:
        The revision; None when there is nothing new.

    Raises:
        IntegrityError: the objects are too many for a revision, or hold a Secret; nothing was written.
        ClusterError: ConfigMaps may not be written.
        UnreachableError: the server does not answer.
    """
    here = [each for each in objects if each.cluster == connection.cluster and not each.submitted]
    ours = [applyset.member(each) for each in here]
    if any(each.kind == "Secret" for each in ours):
        raise IntegrityError(
            "it would show a Secret to everybody who may read ConfigMaps",
            hint="name the Secret in tiers.yaml instead of its values",
        )
    document = document_of(applyset.topology, ours)
    digest = digest_of(document)
    known = revisions(connection, applyset)
    written = any(each.written for each in applied.objects)
    if not written and (applied.failed or (known and known[-1].digest == digest)):
        return None
    parts = compressed(document)
    annotations = {
        _FORMAT: "1", _DIGEST: str(digest), _PARTS: str(len(parts)), _USER: author.user,
        _TIME: datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        _OUTCOME: _PARTIAL if applied.failed else _COMPLETE, _COUNTS: _counts(applied),
    }  # fmt: skip
    annotations |= {_COMMIT: author.commit} if author.commit else {}
    annotations |= {_ROLLBACK: str(author.rollback_of)} if author.rollback_of else {}
    kinds = Kinds(connection)
    made = _write(kinds, applyset, known[-1].number + 1 if known else 1, annotations, parts)
    _forget(kinds, applyset, [*known, made])
    return made


def with_revision(
    connection: Connection,
    topology: str,
    objects: Sequence[RenderedObject],
    applied: Applied,
    author: Author,
) -> Applied:
    """Give what was applied with its revision; that none could be written does not undo what was applied.

    Raises:
        UnreachableError: the server does not answer. Repeat: the next apply writes the revision.
    """
    applyset = applyset_of(topology, connection.cluster, objects)
    if applyset is None:
        return applied
    try:
        made = remember(connection, applyset, objects, applied, author)
    except (ClusterError, IntegrityError) as error:
        return replace(applied, note=f"no revision was kept: {error.message}")
    return replace(applied, revision=made.number) if made else applied


def _counts(applied: Applied) -> str:
    told = (Outcome.CREATED, Outcome.CHANGED, Outcome.PRUNED)
    counted = [(applied.count(each), each.value) for each in told] + [(len(applied.failed), "not as wanted")]
    return ", ".join(f"{count} {word}" for count, word in counted if count) or "nothing to do"


def _write(
    kinds: Kinds, applyset: ApplySet, number: int, annotations: Mapping[str, str], parts: Sequence[bytes]
) -> Revision:
    """Create the parts under the first free number, the first part last."""
    place = kinds.resource(*_MAP).path(applyset.namespace)
    for attempt in range(_ATTEMPTS):
        free = number + attempt
        try:
            for part in range(len(parts), 0, -1):
                noun, described = (PART, {}) if part > 1 else (REVISION, annotations)
                body = _config_map(applyset, free, part, noun, described, parts[part - 1])
                made = _create(kinds, place, body)
        except RefusedError as error:
            if error.status != CONFLICT or attempt == _ATTEMPTS - 1:
                raise
            continue
        return _revision(made)
    raise AssertionError("the last attempt returns or raises")  # pragma: no cover


def _create(kinds: Kinds, place: str, body: Json) -> Json:
    """Create a part. When the answer is lost, reading tells whether it was made, so that none is made twice."""
    for last in (*[False] * (_ATTEMPTS - 1), True):
        try:
            return kinds.connection.send("POST", place, {"fieldManager": MANAGER}, body)
        except (ClusterError, UnreachableError) as error:
            if last or not may_have_been_done(error):
                raise
            found = get(kinds, key_of(body))
            if found is not None and all(_same(found, body)):
                return found
    raise AssertionError("the last attempt returns or raises")  # pragma: no cover


def _same(found: Json, body: Json) -> tuple[bool, bool]:
    """Compare who and when, and what."""
    return annotations_of(found) == annotations_of(body), found.get("binaryData") == body["binaryData"]


def _config_map(
    applyset: ApplySet, number: int, part: int, noun: str, annotations: Mapping[str, str], held: bytes
) -> Json:
    metadata = {
        "name": _name(applyset, number, part),
        "namespace": applyset.namespace,
        "labels": owner_labels(applyset.topology, noun, str(number)),
        "annotations": dict(annotations),
    }
    packed = {"objects": base64.b64encode(held).decode()}
    return {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": packed, "immutable": True,
    }  # fmt: skip


def _forget(kinds: Kinds, applyset: ApplySet, known: Sequence[Revision]) -> None:
    """Delete revisions that are too old: their first part first, so that none is ever listed without its parts."""
    old = list(known[:-KEPT])
    if not any(each.complete for each in known[-KEPT:-1]):  # nothing that stays could be gone back to
        last = next((each for each in reversed(old) if each.complete), None)
        old = [each for each in old if each is not last]
    for each in old:
        for part in range(1, min(each.parts, MOST_PARTS) + 1):
            path = kinds.resource(*_MAP).path(applyset.namespace, _name(applyset, each.number, part))
            try:
                kinds.connection.send("DELETE", path, {})
            except RefusedError as error:
                if error.status != NOT_FOUND:
                    raise


def _name(applyset: ApplySet, number: int, part: int) -> str:
    return f"{applyset.name}.{REVISION}-{number}" + (f".{PART}-{part}" if part > 1 else "")


def _revision(body: Mapping[str, object]) -> Revision:
    annotations, metadata = annotations_of(body), body.get("metadata")
    uid = str(metadata.get("uid")) if isinstance(metadata, Mapping) else ""
    return Revision(
        number=_number(labels_of(body).get(NAME_LABEL)),
        time=annotations.get(_TIME, ""),
        user=annotations.get(_USER, ""),
        outcome=annotations.get(_OUTCOME, ""),
        counts=annotations.get(_COUNTS, ""),
        commit=annotations.get(_COMMIT, ""),
        rollback_of=_number(annotations.get(_ROLLBACK)),
        digest=annotations.get(_DIGEST, ""),
        parts=_number(annotations.get(_PARTS)),
        uid=uid,
    )


def _number(text: str | None) -> int:
    """Read a number that anybody may have written; 0 when it is none."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 9 else 0  # noqa: PLR2004
