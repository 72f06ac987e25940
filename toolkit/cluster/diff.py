"""Rendered objects against a cluster: per object what applying it would do. Before it `connect`, after it `apply`.

One LIST a kind, compared here (`compare`); only an object that seems to differ costs a request, a server-side apply
with dryRun=All, whose answer is what would really be: defaults filled in, other managers' fields kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum

from toolkit.cluster.applyset import ApplySet, Contents, applyset_of
from toolkit.cluster.compare import (
    MANAGER,
    is_as_wanted,
    keeping_replicas,
    owned_fields,
    without_bookkeeping,
)
from toolkit.cluster.fields import FieldChange, changes
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import PARALLEL, Key, Live, get, key_of, look
from toolkit.cluster.prune import Seen, reason_to_stay, seen
from toolkit.cluster.refusal import ConflictError, FieldConflict, RefusedError
from toolkit.cluster.request import Connection, Json
from toolkit.cluster.rules import SAFE, Rules
from toolkit.render.rendered import RenderedObject, rank_of


class Action(str, Enum):
    """What applying would do to an object."""

    CREATE = "create"
    CHANGE = "change"
    NOTHING = "nothing"
    CONFLICT = "conflict"
    """Another manager owns a field that we want to set."""
    REFUSED = "refused"
    """The server would not take it, for another reason."""
    FOREIGN = "foreign"
    """An object of this name exists and is not ours; it is left alone."""
    PRUNE = "prune"
    """It is a member of our set and not rendered any more: it would be deleted."""
    LEFT_OVER = "left over"
    """It is a member of our set and not rendered any more, and stays; the message says why."""


@dataclass(frozen=True)
class ObjectDiff:
    """What would happen to one object, and why."""

    action: Action
    api_version: str
    kind: str
    namespace: str
    name: str
    source: str = ""
    """What of tiers.yaml it stands for."""
    fields: tuple[FieldChange, ...] = ()
    conflicts: tuple[FieldConflict, ...] = ()
    message: str = ""
    cure: str = ""
    """What to do about a refusal, when it is known."""
    seen: Seen | None = None
    """The live object as it was looked at; None when there was none."""

    @property
    def key(self) -> Key:
        """What the object is known by."""
        return (self.api_version, self.kind, self.namespace, self.name)

    @property
    def label(self) -> str:
        """Kind, namespace and name for people."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def lines(self) -> tuple[str, ...]:
        """Say what differs, a line a field; a new object is one line, and so is one that goes."""
        if self.action in {Action.CREATE, Action.PRUNE}:
            return ("",)
        owned = [f"{each.field} belongs to {each.owner}" for each in self.conflicts]
        shown = [line for each in self.fields for line in each.lines]
        return (*shown, *owned, *([self.message] if self.message else ()))


@dataclass(frozen=True)
class Diff:
    """Every object of a topology in one cluster, in apply order; what is not rendered any more comes last."""

    cluster: str
    context: str
    objects: tuple[ObjectDiff, ...]
    members: int = 0
    """How many objects the set has now."""
    recorded: Contents | None = None
    """What the parent of the set covers; None when there is no parent."""

    @property
    def differences(self) -> tuple[ObjectDiff, ...]:
        """The objects that applying would change or cannot bring about. What stays on purpose is not among them."""
        quiet = {Action.NOTHING, Action.LEFT_OVER}
        return tuple(each for each in self.objects if each.action not in quiet)

    @property
    def steps(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Give action, object and what differs, of all that is not as rendered; what stays comes last."""
        told = [*self.differences, *self.having(Action.LEFT_OVER)]
        return [(each.action.value, each.label, each.lines) for each in told]

    def having(self, action: Action) -> tuple[ObjectDiff, ...]:
        """Give the objects with an action."""
        return tuple(each for each in self.objects if each.action is action)


def diff(
    connection: Connection, topology: str, objects: Sequence[RenderedObject], rules: Rules = SAFE
) -> Diff:
    """Compare rendered objects with a cluster. Changes nothing.

    Args:
        connection: the way to the cluster.
        topology: its name; its set is the one whose parent lives in the Namespace among the objects.
        objects: what was rendered, for any cluster; only this cluster's count.
        rules: what `apply` will be allowed to do.

    Raises:
        ClusterError: a kind does not exist in the cluster or may not be listed, or another tool keeps the set.
        UnreachableError: the server does not answer.
    """
    kinds = Kinds(connection)
    applyset, wanted = members_of(connection, topology, objects)
    live = look(kinds, applyset, wanted)
    whose = applyset or ApplySet(topology, "")
    with ThreadPoolExecutor(max_workers=PARALLEL) as threads:
        compared = tuple(threads.map(lambda each: _compare(kinds, whose, each, live, rules), wanted))
    rendered = {key_of(each.body) for each in wanted}
    left = tuple(_left_over(key, live, rules) for key in _deletion_order(live.members - rendered))
    return Diff(connection.cluster, connection.context, compared + left, len(live.members), live.recorded)


def members_of(
    connection: Connection, topology: str, objects: Sequence[RenderedObject]
) -> tuple[ApplySet | None, list[RenderedObject]]:
    """Give the set of a cluster, and its objects with the set's label, in apply order."""
    ours = sorted(
        (each for each in objects if each.cluster == connection.cluster), key=lambda each: each.order
    )
    applyset = applyset_of(topology, connection.cluster, ours)
    return applyset, [applyset.member(each) if applyset else each for each in ours]


def put(kinds: Kinds, rendered: RenderedObject, *, dry_run: bool, force: bool = False) -> Json:
    """Send one object by server-side apply, with strict checks of its fields.

    Args:
        kinds: the way to the cluster.
        rendered: the object.
        dry_run: only ask what would be.
        force: take fields from other managers.

    Raises:
        ConflictError: another manager owns a field.
        RefusedError: the server does not take it.
        ClusterError: its kind does not exist there.
        UnreachableError: the server does not answer.
    """
    resource = kinds.resource(rendered.api_version, rendered.kind)
    query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
    query |= ({"dryRun": "All"} if dry_run else {}) | ({"force": "true"} if force else {})
    body = rendered.body
    if rendered.kind == "Deployment" and "replicas" not in _spec(body):
        now = get(kinds, key_of(body))
        body = body if now is None else keeping_replicas(now, body)
    return kinds.connection.send("PATCH", resource.path(rendered.namespace, rendered.name), query, body)


def _spec(body: Mapping[str, object]) -> Mapping[str, object]:
    spec = body.get("spec")
    return spec if isinstance(spec, Mapping) else {}


def _compare(
    kinds: Kinds, applyset: ApplySet, rendered: RenderedObject, live: Live, rules: Rules
) -> ObjectDiff:
    key = key_of(rendered.body)
    now = live.objects.get(key)
    if now is None:
        return _result(rendered, Action.CREATE, fields=changes({}, rendered.body))
    result = _against(kinds, applyset, rendered, now, rules)
    return replace(result, seen=seen(key, now, rendered.body))


def _against(
    kinds: Kinds, applyset: ApplySet, rendered: RenderedObject, now: Json, rules: Rules
) -> ObjectDiff:
    """Compare with an object that is there."""
    foreign = applyset.foreign(now)
    if foreign and not (rules.adopt and foreign.adoptable):
        cure = (
            "tiers apply --adopt takes it over" if foreign.adoptable else "give one of the two another name"
        )
        return _result(rendered, Action.FOREIGN, message=foreign.whose, cure=cure)
    if is_as_wanted(now, rendered.body):
        return _result(rendered, Action.NOTHING)
    try:
        after = put(kinds, rendered, dry_run=True)
    except ConflictError as error:
        differing = changes(without_bookkeeping(now), rendered.body)
        # A conflict writes items of lists by all their keys; up to the first list is enough to find its fields.
        names = tuple(each.field.lstrip(".").partition("[")[0] for each in error.conflicts)
        fields = tuple(each for each in differing if each.path.startswith(names))
        return _result(rendered, Action.CONFLICT, fields=fields, conflicts=error.conflicts)
    except RefusedError as error:
        return _result(rendered, Action.REFUSED, message=error.message)
    fields = changes(without_bookkeeping(now), without_bookkeeping(after))
    if not fields and owned_fields(now) == owned_fields(after):
        return _result(rendered, Action.NOTHING)
    message = "" if fields else "no value changes; some fields become ours"
    return _result(rendered, Action.CHANGE, fields=fields, message=message)


def _result(
    rendered: RenderedObject,
    action: Action,
    *,
    fields: tuple[FieldChange, ...] = (),
    conflicts: tuple[FieldConflict, ...] = (),
    message: str = "",
    cure: str = "",
) -> ObjectDiff:
    return ObjectDiff(
        action,
        rendered.api_version,
        rendered.kind,
        rendered.namespace,
        rendered.name,
        rendered.source,
        fields,
        conflicts,
        message,
        cure,
    )


def _deletion_order(keys: frozenset[Key] | set[Key]) -> list[Key]:
    return sorted(keys, key=lambda key: (-rank_of(key[1]), key))


def _left_over(key: Key, live: Live, rules: Rules) -> ObjectDiff:
    body = live.objects[key]
    stays = reason_to_stay(body, rules)
    action = Action.LEFT_OVER if stays else Action.PRUNE
    return ObjectDiff(action, *key, message=stays, seen=seen(key, body))
