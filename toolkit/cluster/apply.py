"""Make a cluster equal to what was rendered: server-side apply of what differs, by rank. Between `diff` and `wait`.

Every write is one PATCH without force, so a field of another manager is never taken over silently. Objects of one rank
go in parallel; a rank with a refusal is the last one, because later ranks lean on it. Killed at any point and repeated,
it goes on: what was written is equal then, and equal objects are not written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

from toolkit.cluster.diff import PARALLEL, Action, Diff, ObjectDiff, diff, put
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import key_of
from toolkit.cluster.refusal import ConflictError, FieldConflict
from toolkit.cluster.request import Connection
from toolkit.errors import ClusterError, PartlyAppliedError
from toolkit.render.rendered import RenderedObject


class Outcome(str, Enum):
    """What became of one object."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    REFUSED = "refused"
    NOT_TRIED = "not tried"
    """An earlier rank was refused."""


@dataclass(frozen=True)
class AppliedObject:
    """One object and what became of it."""

    outcome: Outcome
    kind: str
    namespace: str
    name: str
    source: str
    message: str = ""
    conflicts: tuple[FieldConflict, ...] = ()

    @property
    def label(self) -> str:
        """Kind, namespace and name for people."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def failed(self) -> bool:
        """Whether it is not as wanted now."""
        return self.outcome in {Outcome.CONFLICT, Outcome.REFUSED, Outcome.NOT_TRIED}


@dataclass(frozen=True)
class Applied:
    """What became of every object, in apply order."""

    cluster: str
    context: str
    objects: tuple[AppliedObject, ...]

    def count(self, outcome: Outcome) -> int:
        """Count the objects with an outcome."""
        return sum(1 for each in self.objects if each.outcome is outcome)

    @property
    def failed(self) -> tuple[AppliedObject, ...]:
        """The objects that are not as wanted."""
        return tuple(each for each in self.objects if each.failed)


def raise_for(applied: Sequence[Applied]) -> None:
    """End a command by what became of the objects of all its clusters.

    Raises:
        PartlyAppliedError: some objects are not as wanted; the message says which and why, the hint how to go on.
    """
    failed = [each for one in applied for each in one.failed]
    if not failed:
        return
    lines = [f"{each.label}: {each.outcome.value}: {each.message}" for each in failed]
    cures = [cure for each in failed for conflict in each.conflicts for cure in remedies(conflict)]
    raise PartlyAppliedError(
        f"{len(failed)} objects are not as tiers.yaml says:\n  " + "\n  ".join(lines),
        hint="\n   or: ".join(dict.fromkeys(cures)) or "tiers diff",
    )


Progress = Callable[[AppliedObject], None]


def remedies(conflict: FieldConflict) -> tuple[str, str, str]:
    """Say the three ways out of a conflict, for people."""
    return (
        f"let {conflict.owner} have {conflict.field}: leave it out of tiers.yaml",
        "take the live value over into tiers.yaml: equal values are owned by both without a conflict",
        f"take {conflict.field} back: remove the field manager {conflict.owner} from the object, then tiers apply",
    )


def apply(
    connection: Connection,
    topology: str,
    objects: Sequence[RenderedObject],
    *,
    found: Diff | None = None,
    progress: Progress | None = None,
) -> Applied:
    """Write every object that differs; nothing is sent for an object that is as wanted.

    Args:
        connection: the way to the cluster.
        topology: its name.
        objects: what was rendered; only this cluster's count.
        found: the differences when they are known already, for instance shown to a person; else they are looked for.
        progress: told of each object when it is done, from several threads.

    Raises:
        ClusterError: a kind does not exist in the cluster, or may not be listed; then nothing was written.
        UnreachableError: the server does not answer. Repeat: what was written stays and is skipped.
    """
    known = found or diff(connection, topology, objects)
    actions = {each.key: each for each in known.objects}
    kinds = Kinds(connection)
    ours = [each for each in objects if each.cluster == connection.cluster]
    results: list[AppliedObject] = []
    stopped = False
    with ThreadPoolExecutor(max_workers=PARALLEL) as threads:
        for _, rank in groupby(sorted(ours, key=lambda each: each.order), key=lambda each: each.rank):
            work = [(each, actions[key_of(each.body)]) for each in rank]
            done = list(threads.map(lambda pair: _write(kinds, *pair, stopped=stopped, tell=progress), work))  # noqa: B023
            results += done
            stopped = stopped or any(each.failed for each in done)
    return Applied(connection.cluster, connection.context, tuple(results))


def _write(
    kinds: Kinds, rendered: RenderedObject, known: ObjectDiff, *, stopped: bool, tell: Progress | None
) -> AppliedObject:
    """Bring one object to what is wanted and tell about it."""
    if known.action is Action.NOTHING:
        done = _done(rendered, Outcome.UNCHANGED)
    elif stopped:
        done = _done(rendered, Outcome.NOT_TRIED, "an object that it may lean on was refused")
    else:
        done = _send(kinds, rendered, known)
    if tell is not None:
        tell(done)
    return done


def _send(kinds: Kinds, rendered: RenderedObject, known: ObjectDiff) -> AppliedObject:
    try:
        put(kinds, rendered, dry_run=False)
    except ConflictError as error:
        return _done(rendered, Outcome.CONFLICT, error.message, error.conflicts)
    except ClusterError as error:
        return _done(rendered, Outcome.REFUSED, error.message)
    return _done(rendered, Outcome.CREATED if known.action is Action.CREATE else Outcome.CHANGED)


def _done(
    rendered: RenderedObject,
    outcome: Outcome,
    message: str = "",
    conflicts: tuple[FieldConflict, ...] = (),
) -> AppliedObject:
    return AppliedObject(
        outcome, rendered.kind, rendered.namespace, rendered.name, rendered.source, message, conflicts
    )
