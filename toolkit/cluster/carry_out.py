"""Do what a plan says, in one cluster: take the lock, look once more, write. Between `plan` and `wait`.

A plan without work takes no lock and writes nothing. A lock that is lost, or Ctrl-C, ends it before the next write.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from toolkit.cluster.apply import apply
from toolkit.cluster.diff import members_of, put
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.lock import Claim, Lock, hold
from toolkit.cluster.outcome import Applied, AppliedObject, Outcome, Progress
from toolkit.cluster.plan import Planned
from toolkit.cluster.recheck import recheck
from toolkit.cluster.request import Connection
from toolkit.cluster.rules import SAFE, Rules

INTERRUPTED = "interrupted; repeat the command, it goes on where it was"


def carry_out(
    connection: Connection,
    topology: str,
    planned: Planned,
    claim: Claim,
    *,
    rules: Rules = SAFE,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    finish: Callable[[Applied], Applied] | None = None,
) -> Applied:
    """Write what a plan says, and nothing else.

    Args:
        connection: the way to the cluster.
        topology: its name.
        planned: what was decided and perhaps shown to a person; made just now and without work, it is not rechecked.
        claim: who wants the lock, and whether to wait for it.
        rules: what the plan was made with.
        progress: told of each object when it is done, from several threads.
        stop: set by somebody who wants it to end.
        finish: what follows under the same lock, such as writing a revision.

    Raises:
        LockedError: another one is writing.
        PlanRefusedError: the cluster has moved since the plan was made; nothing was written.
        GateRefusedError: more than half of the set would be deleted; nothing was written.
        ClusterError: the server lacks a kind or a right; nothing was written.
        UnreachableError: the server does not answer. Repeat: what was written stays and is skipped.
    """
    plan = planned.plan
    applyset, wanted = members_of(connection, topology, plan.rendered())
    made: list[str] = []

    def write(reason_to_stop: Callable[[], str] | None) -> Applied:
        fresh = None if plan.work else planned.found
        now = fresh or recheck(connection, topology, plan, again=claim.again or claim.command)
        applied = apply(
            connection,
            topology,
            plan.rendered(),
            rules=rules,
            found=now,
            progress=None if progress is None else lambda each: progress(_made(each, made)),
            reason_to_stop=reason_to_stop,
            exact=True,
        )
        told = replace(applied, objects=tuple(_made(each, made) for each in applied.objects))
        return finish(told) if finish is not None else told

    if not plan.work or applyset is None:
        return write(None)
    namespace = next(each for each in wanted if each.kind == "Namespace")

    def make_place() -> None:
        put(Kinds(connection), namespace, dry_run=False)
        made.append(namespace.name)

    with hold(connection, topology, applyset.namespace, claim, make_place=make_place, stop=stop) as lock:
        return write(_reason(lock, stop))


def _reason(lock: Lock, stop: threading.Event | None) -> Callable[[], str]:
    return lambda: INTERRUPTED if stop is not None and stop.is_set() else lock.reason_to_stop()


def _made(each: AppliedObject, made: list[str]) -> AppliedObject:
    """Say that the Namespace was created, which had to be done for the lock."""
    if each.kind == "Namespace" and each.name in made and each.outcome is Outcome.UNCHANGED:
        return replace(each, outcome=Outcome.CREATED)
    return each
