"""Is a plan still true? Looks at the cluster once more, right before writing. `plan` → here → `apply`.

What counts as moved: an object that the plan touches and that somebody changed, made anew or deleted; one that needed
nothing and is not as wanted any more; a new member of the set. What does not: a status, the replicas that an autoscaler
sets (`prune.seen`), other people's changes to objects that need nothing, and what this very plan has done already, so
that an interrupted apply of a plan may be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.cluster.compare import MANAGER, is_as_wanted
from toolkit.cluster.diff import Action, Diff, ObjectDiff, members_of
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import Live, key_of, look
from toolkit.cluster.plan import ClusterPlan, PlannedDeletion, PlannedObject, cluster_uid, label_of
from toolkit.cluster.prune import is_still, seen
from toolkit.cluster.request import Connection, Json
from toolkit.errors import GateRefusedError

_NAMED = 3
"""So many managers are named at most; their times have whole seconds, so the last one is not always known."""


@dataclass(frozen=True)
class Move:
    """One object that is not what the plan was made for."""

    label: str
    what: str


class PlanRefusedError(GateRefusedError):
    """The cluster has moved since the plan was made; nothing was written. `moves` says what and who."""

    def __init__(self, message: str, moves: tuple[Move, ...], *, hint: str) -> None:
        """Name every move."""
        super().__init__(message + "".join(f"\n  {each.label}: {each.what}" for each in moves), hint=hint)
        self.moves = moves


def recheck(connection: Connection, topology: str, plan: ClusterPlan, *, again: str) -> Diff:
    """Look at everything that a plan is about.

    Args:
        connection: the way to the cluster.
        topology: its name.
        plan: what was decided.
        again: the command that makes a new plan.

    Returns:
        What `apply` works by, with the versions of now.

    Raises:
        PlanRefusedError: it is another cluster, or something moved.
        ClusterError: a kind does not exist in the cluster or may not be listed.
        UnreachableError: the server does not answer.
    """
    if (uid := cluster_uid(connection)) != plan.uid:
        raise PlanRefusedError(
            f"the context {connection.context} is another cluster now ({uid} at {connection.host}) than the one "
            f"the plan was made for ({plan.uid} at {plan.server})",
            (),
            hint=f"look at the kubeconfig, or: {again}",
        )
    kinds = Kinds(connection)
    applyset, wanted = members_of(connection, topology, plan.rendered())
    live = look(kinds, applyset, wanted)
    checked: list[ObjectDiff | Move | None] = [
        _object(each, live.objects.get(key_of(each.body))) for each in plan.objects
    ]
    checked += [_deletion(each, live) for each in plan.deletions]
    moves = [each for each in checked if isinstance(each, Move)]
    known = {key_of(each.body) for each in plan.objects} | {each.live.key for each in plan.deletions}
    moves += [_new(live.objects[key]) for key in sorted(live.members - known)]
    if moves:
        raise PlanRefusedError(
            f"{plan.cluster}: {len(moves)} objects have moved since the plan was made; nothing was written",
            tuple(moves),
            hint=again,
        )
    objects = tuple(each for each in checked if isinstance(each, ObjectDiff))
    return Diff(plan.cluster, connection.context, objects, len(live.members), live.recorded)


def _object(planned: PlannedObject, now: Json | None) -> ObjectDiff | Move:
    """Compare an object that is wanted with what the plan saw."""
    label, then = label_of(planned.body), planned.live
    if now is None:
        return _diff(planned, planned.action) if then is None else Move(label, "it is gone")
    is_now = seen(key_of(planned.body), now, planned.body)
    if then is not None and is_now.uid != then.uid:
        return Move(label, f"it is another one, made anew ({who_changed(now)})")
    if is_as_wanted(now, planned.body):
        return _diff(planned, Action.NOTHING)
    if then is None:
        return Move(label, f"it is there already ({who_changed(now)})")
    if not is_still(then, now, planned.body):
        return Move(label, f"it was changed ({who_changed(now)})")
    return _diff(planned, planned.action, now)


def _deletion(planned: PlannedDeletion, live: Live) -> ObjectDiff | Move | None:
    """Compare an object that goes with what the plan saw; None when it has gone already."""
    key, now = planned.live.key, live.objects.get(planned.live.key)
    if now is None:
        return None
    is_now = seen(key, now)
    if not is_still(planned.live, now) and not planned.stays:
        return Move(label_of(now), f"it was changed, and would be deleted ({who_changed(now)})")
    action = Action.LEFT_OVER if planned.stays else Action.PRUNE
    return ObjectDiff(action, *key, message=planned.stays, seen=is_now)


def _new(now: Json) -> Move:
    return Move(
        label_of(now), f"it is a new object of this topology that the plan does not know ({who_changed(now)})"
    )


def _diff(planned: PlannedObject, action: Action, now: Json | None = None) -> ObjectDiff:
    key = key_of(planned.body)
    return ObjectDiff(
        action,
        *key,
        source=planned.source,
        conflicts=planned.conflicts,
        message=planned.message,
        cure=planned.cure,
        seen=seen(key, now, planned.body) if now is not None else None,
    )


def who_changed(body: Mapping[str, object]) -> str:
    """Say who changed an object last and when, by its managedFields; neither we nor changes of its status count."""
    last = sorted(_entries(body), reverse=True)[:_NAMED]
    return (
        "by " + ", ".join(f"{manager} at {time}" for time, manager in last) if last else "nobody says by whom"
    )


def _entries(body: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    metadata = body.get("metadata")
    listed = metadata.get("managedFields") if isinstance(metadata, Mapping) else None
    for each in listed if isinstance(listed, list) else []:
        if each.get("subresource") != "status" and each.get("manager") != MANAGER:
            yield str(each.get("time")), str(each.get("manager"))
