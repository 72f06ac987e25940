"""The course of `tiers apply`: show, ask, write in all clusters at once, tell what became of it, wait."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolkit.cli.apply_progress import applying
from toolkit.cli.differences import show_applied
from toolkit.cli.planning import Prepared, show_plan
from toolkit.cli.present import Output, confirm, say

if TYPE_CHECKING:
    from toolkit.cluster.lock import Claim
    from toolkit.cluster.many import ClusterResult
    from toolkit.cluster.outcome import Applied
    from toolkit.cluster.request import Connection
    from toolkit.cluster.wait import Waited


@dataclass(frozen=True)
class Wishes:
    """What the command line asks for beside the plan."""

    user: str
    wait_seconds: float
    ready_percent: int
    yes: bool


def run(prepared: Prepared, claim: Claim, wishes: Wishes, output: Output, *, as_json: bool) -> None:
    """Carry a plan out in all of its clusters.

    Raises:
        TiersError: by what became of the clusters (`many`), then of the objects, then of the wait.
    """
    from toolkit.cluster.carry_out import carry_out
    from toolkit.cluster.history import Author, with_revision
    from toolkit.cluster.many import in_each, raise_for_clusters, values_of

    plan, stop = prepared.plan, threading.Event()
    if not prepared.connections:
        raise_for_clusters(prepared.results)
    work = show_plan(prepared, on_stderr=True)
    names = " and ".join(each.cluster for each in prepared.connections)
    if work:
        confirm(f"apply {work} objects to the cluster {names}?", yes=wishes.yes)
    author = Author(wishes.user, plan.commit)

    with applying([prepared.part(each.cluster) for each in prepared.connections]) as tell:

        def write(way: Connection) -> Applied:
            part = prepared.part(way.cluster)
            return carry_out(
                way,
                plan.topology,
                prepared.planned(way.cluster),
                claim,
                rules=plan.rules,
                progress=lambda done: tell(way.cluster, done),
                stop=stop,
                finish=lambda done: with_revision(way, plan.topology, part.rendered(), done, author),
            )

        try:
            results = in_each(prepared.connections, write, stop=stop)
        except KeyboardInterrupt:
            say("interrupted; what was written stays, the same command goes on from there")
            raise
    together: list[ClusterResult[object]] = [*results]
    together += [each for each in prepared.results if each.error is not None]
    try:
        show_applied(values_of(results), output, as_json=as_json)
    finally:
        raise_for_clusters(together)
    if wishes.wait_seconds:
        _wait(prepared, wishes)


def _wait(prepared: Prepared, wishes: Wishes) -> None:
    from toolkit.cluster.many import in_each, raise_for_clusters, values_of
    from toolkit.cluster.wait import raise_for_time, wait

    stop = threading.Event()

    def follow(way: Connection) -> Waited:
        objects, topology = prepared.part(way.cluster).rendered(), prepared.plan.topology
        return wait(
            way, topology, objects, seconds=wishes.wait_seconds, ready_percent=wishes.ready_percent, stop=stop
        )

    results = in_each(prepared.connections, follow, stop=stop)
    waited: Sequence[Waited] = values_of(results)
    for each in waited:
        for name, since in sorted(each.offline.items()):
            say(f"{each.cluster}: {name} is offline since {since}; its pods were not waited for")
    raise_for_clusters(results)
    for each in waited:
        raise_for_time(each)
