"""`tiers job submit|status|cancel` with the name of a flow instead of a job's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.present import Output, Table, confirm, say, show

if TYPE_CHECKING:
    from toolkit.cli.job_site import JobSite
    from toolkit.cluster.kinds import Kinds
    from toolkit.topology.topology import Topology


def submit_flow_there(
    site: JobSite,
    name: str,
    kubeconfig: Path | None,
    *,
    again: bool,
    replace: bool,
    dry_run: bool,
    yes: bool,
    output: Output,
    as_json: bool,
) -> None:
    """Look, ask, submit; says how to follow it."""
    from toolkit.jobs.flow_submit import look_at_flow, submit_flow

    kinds, namespace = _place(site, name, kubeconfig)
    found = look_at_flow(kinds, site.topology, site.lock, name, again=again, replace=replace)
    if found.step.name == "REPLACE" and not dry_run:
        confirm(f"stop flow {name} with all its jobs and start it anew?", yes=yes)
    submit_flow(kinds, found, dry_run=dry_run)
    said = found.step.value + (" (dry run: nothing was changed)" if dry_run else "")
    row = {"flow": name, "cluster": kinds.connection.cluster, "namespace": namespace, "outcome": said}
    show(row, Table(("flow", "cluster", "namespace", ""), [tuple(row.values())]), output, as_json=as_json)
    if not dry_run:
        say(f"next: tiers job status {name}")


def show_flow(site: JobSite, name: str, kubeconfig: Path | None, *, output: Output, as_json: bool) -> None:
    """Show each step with its job, its state and the reason."""
    from toolkit.jobs.flow_status import flow_status

    found = flow_status(*_place(site, name, kubeconfig), name)
    rows = [(each.step, each.job, each.state.value, each.why) for each in found.steps]
    show(found, Table(("step", "job", "state", "why"), rows), output, as_json=as_json)
    say(f"flow {name}: {found.state.value}")
    if not found.steps:
        say(f"  next: tiers job submit {name}")


def cancel_flow(site: JobSite, name: str, kubeconfig: Path | None, *, yes: bool, seconds: float) -> None:
    """Delete a flow with its jobs and see them go; what it staged stays pinned until it has run to its end."""
    from toolkit.jobs.flow_submit import remove_flow

    kinds, namespace = _place(site, name, kubeconfig)
    confirm(f"cancel flow {name} with all its jobs?", yes=yes)
    there = remove_flow(kinds, namespace, name, seconds=seconds)
    say(f"flow {name} is gone" if there else f"flow {name} is not in the cluster: nothing to do")


def tell_of_data(topology: Topology, job: str) -> None:
    """Say that a job whose data is in another tier takes it as it lies there: only a flow stages it."""
    from toolkit.render.job_template import staged

    data = topology.jobs[job].data
    if data is None or not staged(topology, job):
        return
    flows = [name for name, flow in topology.flows.items() if job in flow.steps]
    stages = f"tiers job submit {flows[0]}" if flows else "name it in `flows:`, then tiers job submit FLOW"
    say(
        f"{job}: takes {data.path} as it lies in its tier; a flow stages it from {data.source} first: {stages}"
    )


def _place(site: JobSite, name: str, kubeconfig: Path | None) -> tuple[Kinds, str]:
    from toolkit.cluster.connect import connect
    from toolkit.cluster.kinds import Kinds
    from toolkit.jobs.flow_submit import flow_place

    cluster, namespace = flow_place(site.topology, name)
    connection = connect(site.topology, cluster, kubeconfig)
    say(f"cluster {cluster}, context {connection.context}, {connection.host}")
    return Kinds(connection), namespace
