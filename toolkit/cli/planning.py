"""What `plan` and `apply` share: plans of all clusters at once, made from tiers.yaml or read from a file, and shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.clusters import Site, connections
from toolkit.cli.differences import prefixed, show_differences
from toolkit.cli.locked import refuse_unlocked
from toolkit.cli.present import say

if TYPE_CHECKING:
    from toolkit.cluster.history import Author
    from toolkit.cluster.many import ClusterResult
    from toolkit.cluster.plan import ClusterPlan, Plan, Planned
    from toolkit.cluster.request import Connection
    from toolkit.cluster.rules import Rules


@dataclass(frozen=True)
class Prepared:
    """A plan and the ways to the clusters that it is about."""

    plan: Plan
    connections: Sequence[Connection]
    """Those whose part of the plan could be made."""
    results: Sequence[ClusterResult[Planned]]
    """Of every cluster, also of those where it could not; empty for a plan from a file."""

    def part(self, cluster: str) -> ClusterPlan:
        """Give what is done in one cluster."""
        return next(each for each in self.plan.clusters if each.cluster == cluster)

    def planned(self, cluster: str) -> Planned:
        """Give the same with what it was made from just now; a plan from a file has that no more."""
        from toolkit.cluster.plan import Planned

        fresh = [each.value for each in self.results if each.cluster == cluster and each.value]
        return fresh[0] if fresh else Planned(self.part(cluster))


def prepare(
    site: Site, context: str | None, kubeconfig: Path | None, rules: Rules, author: Author
) -> Prepared:
    """Look at all clusters of tiers.yaml; one that fails is said and left out."""
    from datetime import datetime, timezone
    from importlib.metadata import version

    from toolkit.cluster.many import in_each, values_of
    from toolkit.cluster.plan import Plan, plan_of

    refuse_unlocked(site.topology, site.objects)
    ways = list(connections(site, context, kubeconfig))
    results = in_each(ways, lambda each: plan_of(each, site.topology.name, site.objects, rules))
    plan = Plan(
        tool=version("tiers"),
        topology=site.topology.name,
        made_at=datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
        made_by=author.user,
        commit=author.commit,
        rules=rules,
        clusters=tuple(each.plan for each in values_of(results)),
    )
    here = {each.cluster for each in plan.clusters}
    return Prepared(plan, [each for each in ways if each.cluster in here], results)


def open_plan(path: Path, context: str | None, kubeconfig: Path | None) -> Prepared:
    """Read a plan; it is complete, so tiers.yaml is not needed.

    Raises:
        UsageError: the plan has no cluster with this context, or the kubeconfig has none that the plan names.
        IntegrityError: it is no plan, or was changed.
    """
    from toolkit.cluster.connect import connect_context
    from toolkit.cluster.plan_file import read_plan
    from toolkit.errors import UsageError

    plan = read_plan(path)
    chosen = [each for each in plan.clusters if context in {None, each.context}]
    if not chosen:
        known = ", ".join(each.context for each in plan.clusters)
        raise UsageError(
            f"the plan {path} is for the contexts {known}, not for {context}", hint="leave --context away"
        )
    ways = [connect_context(each.cluster, each.context, kubeconfig) for each in chosen]
    for each in ways:
        say(f"cluster {each.cluster}, context {each.context}, {each.host}")
    say(f"plan of {plan.made_at} by {plan.made_by} {plan.commit}".rstrip())
    return Prepared(plan, ways, ())


def show_plan(prepared: Prepared, *, on_stderr: bool) -> int:
    """Show what would be done, with the cluster before each object when there are several; give the number of steps."""
    several = max(len(prepared.connections), len(prepared.results)) > 1
    for each in prepared.results:
        if several and each.error is not None:
            say(f"{each.cluster}: {each.error.message}")
    work = 0
    for way in prepared.connections:
        part = prepared.part(way.cluster)
        show_differences(prefixed(part.steps, way.cluster if several else ""), on_stderr=on_stderr)
        work += part.work
    return work
