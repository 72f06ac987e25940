"""Rendered objects against a cluster: per object what applying it would do. Before it `connect`, after it `apply`.

One LIST a kind, compared here (`compare`); only an object that seems to differ costs a request, a server-side apply
with dryRun=All, whose answer is what would really be: defaults filled in, other managers' fields kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum

from toolkit.cluster.compare import MANAGER, is_as_wanted, owned_fields, without_bookkeeping
from toolkit.cluster.fields import FieldChange, changes
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import Key, key_of, live_objects
from toolkit.cluster.refusal import NOT_FOUND, ConflictError, FieldConflict, RefusedError
from toolkit.cluster.request import Connection, Json
from toolkit.render.rendered import RenderedObject

PARALLEL = 8
"""Dry runs and writes at a time; an API server on two cores is full with that."""


class Action(str, Enum):
    """What applying an object would do."""

    CREATE = "create"
    CHANGE = "change"
    NOTHING = "nothing"
    CONFLICT = "conflict"
    """Another manager owns a field that we want to set."""
    REFUSED = "refused"
    """The server would not take it, for another reason."""
    LEFT_OVER = "left over"
    """It carries our labels and is not rendered any more."""


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
        """Say what differs, a line a field; a new object is one line."""
        if self.action is Action.CREATE or self.action is Action.LEFT_OVER:
            return ("",)
        owned = [f"{each.field} belongs to {each.owner}" for each in self.conflicts]
        return (*(str(each) for each in self.fields), *owned, *([self.message] if self.message else ()))


@dataclass(frozen=True)
class Diff:
    """Every object of a topology in one cluster, in apply order; what is left over comes last."""

    cluster: str
    context: str
    objects: tuple[ObjectDiff, ...]

    @property
    def differences(self) -> tuple[ObjectDiff, ...]:
        """The objects that are not as rendered."""
        return tuple(each for each in self.objects if each.action is not Action.NOTHING)


def diff(connection: Connection, topology: str, objects: Sequence[RenderedObject]) -> Diff:
    """Compare rendered objects with a cluster. Changes nothing.

    Args:
        connection: the way to the cluster.
        topology: its name; objects that carry it in their label and are not rendered are left over.
        objects: what was rendered, for any cluster; only this cluster's count.

    Raises:
        ClusterError: a kind does not exist in the cluster, or may not be listed.
        UnreachableError: the server does not answer.
    """
    kinds = Kinds(connection)
    ours = [each for each in objects if each.cluster == connection.cluster]
    live = live_objects(kinds, topology, [(each.api_version, each.kind) for each in ours])
    with ThreadPoolExecutor(max_workers=PARALLEL) as threads:
        compared = tuple(threads.map(lambda each: _compare(kinds, each, live), ours))
    wanted = {key_of(each.body) for each in ours}
    left = tuple(_left_over(key) for key in sorted(live) if key not in wanted)
    return Diff(connection.cluster, connection.context, compared + left)


def put(kinds: Kinds, rendered: RenderedObject, *, dry_run: bool) -> Json:
    """Send one object by server-side apply, without force and with strict checks of its fields.

    Raises:
        ConflictError: another manager owns a field.
        RefusedError: the server does not take it.
        ClusterError: its kind does not exist there.
        UnreachableError: the server does not answer.
    """
    resource = kinds.resource(rendered.api_version, rendered.kind)
    query = {"fieldManager": MANAGER, "fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
    return kinds.connection.send(
        "PATCH", resource.path(rendered.namespace, rendered.name), query, rendered.body
    )


def _compare(kinds: Kinds, rendered: RenderedObject, live: Mapping[Key, Json]) -> ObjectDiff:
    now = live.get(key_of(rendered.body))
    if now is not None and is_as_wanted(now, rendered.body):
        return _result(rendered, Action.NOTHING)
    if now is None and live:  # on an empty cluster this would cost a request for every object
        now = _unlabelled(kinds, rendered)
    if now is None:
        return _result(rendered, Action.CREATE, fields=changes({}, rendered.body))
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


def _unlabelled(kinds: Kinds, rendered: RenderedObject) -> Json | None:
    """Look for an object of this name that does not carry our labels: somebody took them off, or it is foreign."""
    resource = kinds.resource(rendered.api_version, rendered.kind)
    try:
        return kinds.connection.get(resource.path(rendered.namespace, rendered.name))
    except RefusedError as error:
        if error.status == NOT_FOUND:
            return None
        raise


def _result(
    rendered: RenderedObject,
    action: Action,
    *,
    fields: tuple[FieldChange, ...] = (),
    conflicts: tuple[FieldConflict, ...] = (),
    message: str = "",
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
    )


def _left_over(key: Key) -> ObjectDiff:
    api_version, kind, namespace, name = key
    return ObjectDiff(Action.LEFT_OVER, api_version, kind, namespace, name)
