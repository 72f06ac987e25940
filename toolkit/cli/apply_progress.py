"""How far an apply is, on stderr: a bar for each cluster on a terminal, else a line for each object written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from toolkit.cli.report import say

if TYPE_CHECKING:
    from toolkit.cluster.outcome import AppliedObject
    from toolkit.cluster.plan import ClusterPlan

Tell = Callable[[str, "AppliedObject"], None]
"""Takes the cluster and an object that is done."""


@contextmanager
def applying(plans: Sequence[ClusterPlan]) -> Iterator[Tell]:
    """Give what to tell of each object; several threads may.

    Args:
        plans: what is about to be done, a plan a cluster.
    """
    if not sys.stderr.isatty():
        yield _line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rank]}"),
    )
    counts = {each.cluster: _by_kind(each) for each in plans}
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {each.cluster: bars.add_task(each.cluster, total=_total(each), rank="") for each in plans}
        done: dict[tuple[str, str], int] = {}

        def tell(cluster: str, each: AppliedObject) -> None:
            done[cluster, each.kind] = done.get((cluster, each.kind), 0) + 1
            of = counts[cluster].get(each.kind, done[cluster, each.kind])
            bars.update(tasks[cluster], advance=1, rank=f"{each.kind} {done[cluster, each.kind]}/{of}")

        yield tell


def _total(plan: ClusterPlan) -> int:
    return sum(_by_kind(plan).values())


def _by_kind(plan: ClusterPlan) -> dict[str, int]:
    """Count what will be told of: kinds are ranks."""
    kinds = [str(each.body["kind"]) for each in plan.objects]
    kinds += [each.live.key[1] for each in plan.deletions if not each.stays]
    return {kind: kinds.count(kind) for kind in kinds}


def _line(cluster: str, each: AppliedObject) -> None:
    if each.written or each.failed:
        say(f"{cluster}: {each.outcome.value} {each.label}")
