"""Take a whole topology out of a cluster, in reverse order. Beside `apply`; `prune` deletes, `live` finds.

The parent of the set goes after all members, so a deletion that was interrupted is found again by the next one. What
stays: the Namespace unless it is named (it takes everything with it, also what others put there), kinds that are
guarded, what is annotated, and jobs. While anything but the Namespace stays, the parent stays and covers it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from toolkit.cluster.applyset import ApplySet
from toolkit.cluster.diff import Action, Diff, ObjectDiff, members_of
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import Key, find_members, get, list_all
from toolkit.cluster.lock import Claim, hold
from toolkit.cluster.outcome import Applied, AppliedObject, Outcome, Progress
from toolkit.cluster.parent import record, recorded
from toolkit.cluster.prune import delete, reason_to_stay, seen
from toolkit.cluster.request import Connection
from toolkit.cluster.rules import SAFE, Rules
from toolkit.errors import ClusterError, UsageError
from toolkit.render.metadata import TOPOLOGY_LABEL
from toolkit.render.rendered import RenderedObject, rank_of

_JOB = ("batch.volcano.sh/v1alpha1", "Job")


def find_doomed(
    connection: Connection, topology: str, objects: Sequence[RenderedObject], rules: Rules = SAFE
) -> Diff:
    """Say what deleting a topology would take (PRUNE) and leave (LEFT_OVER, with the reason). Changes nothing.

    Args:
        connection: the way to the cluster.
        topology: its name.
        objects: what is rendered of it, for any cluster; its Namespace says where the set is.
        rules: which guarded kinds may go.

    Raises:
        UsageError: there is no Namespace among the objects.
        ClusterError: a kind may not be listed, or another tool keeps the set.
        UnreachableError: the server does not answer.
    """
    kinds = Kinds(connection)
    applyset, wanted = _set_of(connection, topology, objects)
    covered = recorded(kinds, applyset)
    members = find_members(kinds, applyset, covered, wanted)
    ordered = sorted(members, key=lambda key: (-rank_of(key[1]), key))
    found = [_judge(key, members[key], rules) for key in ordered]
    found += _jobs(kinds, applyset)
    held = {
        each.namespace: each.label for each in found if each.action is Action.LEFT_OVER and each.namespace
    }
    told = tuple(
        replace(each, action=Action.LEFT_OVER, message=f"stays: it holds the {held[each.name]}")
        if each.kind == "Namespace" and each.action is Action.PRUNE and each.name in held
        else each
        for each in found
    )
    return Diff(connection.cluster, connection.context, told, len(members), covered)


def delete_all(
    connection: Connection,
    topology: str,
    objects: Sequence[RenderedObject],
    claim: Claim,
    *,
    found: Diff,
    progress: Progress | None = None,
) -> Applied:
    """Delete what `find_doomed` has found, the last rank first; the parent after all members.

    Args:
        connection: the way to the cluster.
        topology: its name.
        objects: what is rendered of it; its Namespace says where the set is.
        claim: who wants the lock against other writers; it is not taken when there is nothing to do.
        found: what was shown to a person.
        progress: told of each object when its rank is done.

    Raises:
        LockedError: another one is writing; nothing was deleted.
        UnreachableError: the server does not answer. Repeat: what is gone stays gone.
    """
    applyset, _ = _set_of(connection, topology, objects)
    if not found.having(Action.PRUNE):
        return _delete_found(connection, applyset, found, progress, lambda: "")
    with hold(connection, topology, applyset.namespace, claim) as lock:
        return _delete_found(connection, applyset, found, progress, lock.reason_to_stop)


def _delete_found(
    connection: Connection,
    applyset: ApplySet,
    found: Diff,
    progress: Progress | None,
    reason_to_stop: Callable[[], str],
) -> Applied:
    kinds = Kinds(connection)
    going = partial(delete, kinds, tell=progress, outcome=Outcome.DELETED, reason_to_stop=reason_to_stop)
    doomed = [each.seen for each in found.having(Action.PRUNE) if each.seen]
    kept = found.having(Action.LEFT_OVER)
    spaces = [each for each in doomed if each.key[1] == "Namespace"]
    results = going([each for each in doomed if each not in spaces])
    stopped = any(each.failed for each in results)
    if not stopped and found.recorded is not None and not spaces:
        results += _end(kinds, applyset, kept)
    results += going(spaces, stopped=stopped)
    results += [
        AppliedObject(Outcome.LEFT_OVER, each.kind, each.namespace, each.name, "", each.message)
        for each in kept
    ]
    return Applied(connection.cluster, connection.context, tuple(results))


def _set_of(
    connection: Connection, topology: str, objects: Sequence[RenderedObject]
) -> tuple[ApplySet, list[RenderedObject]]:
    applyset, wanted = members_of(connection, topology, objects)
    if applyset is None:
        raise UsageError(
            f"nothing of {topology} belongs to the cluster '{connection.cluster}'", hint="tiers render"
        )
    return applyset, wanted


def _judge(key: Key, body: dict[str, object], rules: Rules) -> ObjectDiff:
    stays = reason_to_stay(body, rules)
    action = Action.LEFT_OVER if stays else Action.PRUNE
    return ObjectDiff(action, *key, message=stays, seen=seen(key, body))


def _jobs(kinds: Kinds, applyset: ApplySet) -> list[ObjectDiff]:
    """Name the jobs of the topology: somebody submitted them, so somebody ends them."""
    try:
        resource = kinds.resource(*_JOB)
    except ClusterError:  # no Volcano, no jobs
        return []
    selector = f"{TOPOLOGY_LABEL}={applyset.topology}"
    found = []
    for body in list_all(kinds, resource, selector, applyset.namespace):
        metadata = body["metadata"]
        name = str(metadata["name"]) if isinstance(metadata, dict) else ""
        said = f"stays: a job ends by tiers job cancel {name}"
        found.append(ObjectDiff(Action.LEFT_OVER, *_JOB, applyset.namespace, name, message=said))
    return found


def _end(kinds: Kinds, applyset: ApplySet, kept: Sequence[ObjectDiff]) -> list[AppliedObject]:
    """Let the parent follow the members; what stays of them keeps it."""
    members = [each.key[:3] for each in kept if each.seen]
    try:
        if any(kind != "Namespace" for _, kind, _ in members):
            record(kinds, applyset, applyset.contents(members))
            return []
    except ClusterError as error:
        return [
            AppliedObject(
                Outcome.REFUSED,
                "ConfigMap",
                applyset.namespace,
                applyset.name,
                "",
                error.message,
                cure=error.hint,
            )
        ]
    key = ("v1", "ConfigMap", applyset.namespace, applyset.name)
    body = get(kinds, key)
    return delete(kinds, [seen(key, body)], outcome=Outcome.DELETED) if body else []
