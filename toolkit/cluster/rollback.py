"""What applying an older revision again would do: a plan like any other. After `history`, before `carry_out`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.cluster.applyset import ApplySet
from toolkit.cluster.history import Revision, find, revisions, stored
from toolkit.cluster.plan import Planned, plan_of
from toolkit.cluster.request import Connection
from toolkit.cluster.rules import SAFE, Rules
from toolkit.errors import UsageError


@dataclass(frozen=True)
class Rollback:
    """What going back to a revision would do in one cluster."""

    revision: Revision
    planned: Planned


def find_rollback(
    connection: Connection, applyset: ApplySet, number: int | None = None, rules: Rules = SAFE
) -> Rollback:
    """Look what going back would do. Changes nothing.

    Args:
        connection: the way to the cluster.
        applyset: whose history.
        number: of the revision; None for the last complete one before the newest that says something else.
        rules: what `apply` will be allowed to do.

    Raises:
        UsageError: there is no such revision, or none to go back to.
        IntegrityError: it is not what was written.
        ClusterError, UnreachableError: as `plan_of`.
    """
    known = revisions(connection, applyset)
    chosen = find(known, number) if number is not None else _before(known)
    objects = stored(connection, applyset, chosen)
    return Rollback(chosen, plan_of(connection, applyset.topology, objects, rules))


def _before(known: Sequence[Revision]) -> Revision:
    for each in reversed(known[:-1]):
        if each.complete and each.digest != known[-1].digest:
            return each
    raise UsageError(
        "there is no complete revision before the newest one to go back to",
        hint="tiers history, then tiers rollback REVISION",
    )
