"""What `apply` will do, written down: every object verbatim, the action, and the live object that it was decided on.

`diff` → `plan_of` → (a person looks, or `plan_file` carries it) → `recheck` → `apply`. Without a file it is the same
plan in memory: what was shown is what is done, or it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from toolkit.cluster.diff import Action, Diff, ObjectDiff, diff, members_of
from toolkit.cluster.prune import Seen
from toolkit.cluster.refusal import FieldConflict
from toolkit.cluster.request import Connection
from toolkit.cluster.rules import SAFE, Rules
from toolkit.errors import ClusterError
from toolkit.render.rendered import RenderedObject
from toolkit.wire.document import Document

_DOABLE = frozenset({Action.CREATE, Action.CHANGE, Action.NOTHING, Action.PRUNE, Action.LEFT_OVER})
_SECRET_PARTS = ("data", "stringData")


class PlannedObject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One object that is wanted."""

    action: Action
    source: str
    """What of tiers.yaml it stands for."""
    body: dict[str, Any]
    """Verbatim what is sent."""
    live: Seen | None
    """What was there; None: nothing, and it is created."""
    lines: tuple[str, ...] = ()
    """What differs, for people."""
    conflicts: tuple[FieldConflict, ...] = ()
    message: str = ""
    cure: str = ""


class PlannedDeletion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One object of ours that is not wanted any more."""

    live: Seen
    stays: str = ""
    """Why it is left all the same; empty when it is deleted."""


class ClusterPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that is done in one cluster."""

    cluster: str
    """Its name in tiers.yaml."""
    context: str
    server: str
    """Where it was reached; only for people, addresses change."""
    uid: str
    """uid of its namespace kube-system: which cluster it is."""
    objects: tuple[PlannedObject, ...]
    deletions: tuple[PlannedDeletion, ...] = ()

    def rendered(self) -> list[RenderedObject]:
        """Give the objects as `apply` takes them."""
        return [RenderedObject(self.cluster, each.source, each.body) for each in self.objects]

    @property
    def steps(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Give action, object and what differs, of all that is not as wanted."""
        changed = [
            (each.action.value, label_of(each.body), each.lines)
            for each in self.objects
            if each.action is not Action.NOTHING
        ]
        gone = [("prune", _label(*each.live.key[1:]), ("",)) for each in self.deletions if not each.stays]
        kept = [
            ("left over", _label(*each.live.key[1:]), (each.stays,)) for each in self.deletions if each.stays
        ]
        return changed + gone + kept

    @property
    def work(self) -> int:
        """Count the objects that would be written, deleted or refused."""
        return sum(1 for action, _, _ in self.steps if action != Action.LEFT_OVER.value)


class Plan(Document, frozen=True, kw_only=True):
    """A plan as it rests in a file. Format: docs/formats.md, Plan (1)."""

    FORMAT: ClassVar[int] = 1

    tool: str
    """Version of tiers that made it."""
    topology: str
    made_at: str
    """RFC 3339, UTC, by the clock of who made it."""
    made_by: str
    commit: str = ""
    """The git commit that tiers.yaml is of."""
    rules: Rules
    """What it was allowed."""
    clusters: tuple[ClusterPlan, ...]
    sha256: str = ""
    """Of the document's bytes with this field empty."""


@dataclass(frozen=True)
class Planned:
    """A plan for one cluster, on its way to be carried out."""

    plan: ClusterPlan
    found: Diff | None = None
    """What it was made from a moment ago; None for a plan from a file, which may be old."""


def plan_of(
    connection: Connection, topology: str, objects: Sequence[RenderedObject], rules: Rules = SAFE
) -> Planned:
    """Find out what applying would do in one cluster. Changes nothing.

    Args:
        connection: the way to the cluster.
        topology: its name.
        objects: what was rendered; only this cluster's count.
        rules: what is allowed.

    Raises:
        ClusterError: a kind does not exist in the cluster or may not be listed, or another tool keeps the set.
        UnreachableError: the server does not answer.
    """
    uid = cluster_uid(connection)
    found = diff(connection, topology, objects, rules)
    _, wanted = members_of(connection, topology, objects)
    return Planned(_written(connection, uid, found, wanted), found)


def cluster_uid(connection: Connection) -> str:
    """Give what tells clusters apart whatever their address: the uid of kube-system, which no cluster is without.

    Raises:
        RefusedError: this user may not read it.
        UnreachableError: the server does not answer.
    """
    metadata = connection.get("/api/v1/namespaces/kube-system").get("metadata")
    return str(metadata.get("uid")) if isinstance(metadata, Mapping) else ""


def check_doable(plan: ClusterPlan, rules: Rules) -> None:
    """Refuse to write down a plan that would fail.

    Raises:
        ClusterError: an object belongs to somebody else, would be refused, or holds a secret.
    """
    doable = _DOABLE | ({Action.CONFLICT} if rules.force_conflicts else set())
    wrong = [each for each in plan.objects if each.action not in doable]
    if wrong:
        lines = [f"{label_of(each.body)}: {each.action.value}: {'; '.join(each.lines)}" for each in wrong]
        cures = dict.fromkeys(each.cure for each in wrong if each.cure)
        raise ClusterError(
            f"{plan.cluster}: {len(wrong)} objects would be refused:\n  " + "\n  ".join(lines),
            hint="\n   or: ".join(cures) or "tiers diff",
        )
    for each in plan.objects:
        if each.body.get("kind") == "Secret" and any(each.body.get(part) for part in _SECRET_PARTS):
            raise ClusterError(
                f"{label_of(each.body)} holds a secret; a plan file is passed around, so it may not",
                hint="let tiers.yaml refer to the Secret and create it by another way",
            )


def label_of(body: Mapping[str, object]) -> str:
    """Give kind, namespace and name for people."""
    metadata = body.get("metadata")
    named = metadata if isinstance(metadata, Mapping) else {}
    return _label(str(body.get("kind")), str(named.get("namespace") or ""), str(named.get("name")))


def _label(kind: str, namespace: str, name: str) -> str:
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _written(connection: Connection, uid: str, found: Diff, wanted: Sequence[RenderedObject]) -> ClusterPlan:
    objects = tuple(_object(each, known) for each, known in zip(wanted, found.objects, strict=False))
    deletions = tuple(
        PlannedDeletion(live=each.seen, stays=each.message if each.action is Action.LEFT_OVER else "")
        for each in found.objects[len(wanted) :]
        if each.seen is not None
    )
    return ClusterPlan(
        cluster=connection.cluster,
        context=connection.context,
        server=connection.host,
        uid=uid,
        objects=objects,
        deletions=deletions,
    )


def _object(rendered: RenderedObject, known: ObjectDiff) -> PlannedObject:
    return PlannedObject(
        action=known.action,
        source=rendered.source,
        body=msgspec.to_builtins(rendered.body),
        live=known.seen,
        lines=known.lines,
        conflicts=known.conflicts,
        message=known.message,
        cure=known.cure,
    )
