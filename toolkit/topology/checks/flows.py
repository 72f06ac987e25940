"""Rules about flows: does every step get its turn, and do the names fit that Volcano makes of theirs?

Called by `load` through checks.every. Volcano calls the job of a step FLOW-STEP, and writes NAMESPACE.FLOW and
NAMESPACE.STEP into labels of it (volcano-sh/volcano v1.15.1, pkg/controllers/jobflow).
"""

from collections.abc import Iterator, Mapping

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import did_you_mean
from toolkit.topology.flow import Flow, Step, parts
from toolkit.topology.job import Job
from toolkit.topology.names import TierName

_LONGEST = 63
"""Characters of a label's value and of a pod's name that is a host name."""


def steps_wait_for_steps(site: Site) -> None:
    """E0841: a step waits for another step of its flow; E0842: no step waits for itself in the end."""
    for name, flow in site.sound("flows", site.topology.flows):
        lost = False
        for step, each in flow.steps.items():
            for position, before in enumerate(each.after):
                if before in flow.steps and before != step:
                    continue
                lost = True
                said = "itself" if before == step else f"'{before}', which is no step of '{name}'"
                near = "" if before == step else did_you_mean(before, tuple(flow.steps))
                path = ("flows", name, "steps", step, "after", position)
                site.report("E0841", path, f"'{step}' waits for {said}{near}")
        circle = [] if lost else _circle(flow.steps)
        if circle:
            here = ("flows", name, "steps", circle[0], "after")
            site.report("E0842", here, f"{' waits for '.join([*circle, circle[0]])}")


def names_of_flows_fit(site: Site) -> None:
    """E0843: names of jobs, of their pods and of labels stay below 64 characters; E0844: no two jobs of one name."""
    taken = {job: f"the job '{job}'" for job in site.topology.jobs}
    for name, flow in site.sound("flows", site.topology.flows):
        path = ("flows", name)
        if name in site.topology.jobs:
            site.report("E0844", path, f"there is also a job '{name}'", key=True)
            continue
        longest = max(_names(site, name, flow), key=len, default="")
        if len(longest) > _LONGEST:
            message = f"'{longest}' would have {len(longest)} characters, {_LONGEST} are allowed"
            site.report("E0843", path, message, key=True)
            continue
        for made, _ in _jobs(site, name, flow):
            if made in taken:
                message = f"its job '{made}' would have the name of {taken[made]}"
                site.report("E0844", path, message, key=True)
                break
            taken[made] = f"a job of the flow '{name}'"


def flows_stay_in_one_cluster(site: Site) -> None:
    """E0845: the jobs of a flow are in one cluster; E0512: staged data has a place to come from and to go to."""
    if not site.shaped.is_sound("clusters") or not site.shaped.is_sound("tiers"):
        return
    pools = site.pools()
    for name, flow in site.sound("flows", site.topology.flows):
        homes: dict[str, str] = {}
        for step, job in _known(site, flow):
            placed = pools.get(job.pool)
            if placed is None:
                return
            try:
                homes.setdefault(site.topology.cluster_of(placed), step)
            except KeyError:  # `clusters` says so
                return
            for tier in {placed.tier_name, job.data.source} if job.data else ():
                if tier in site.topology.tiers and not site.topology.tiers[tier].storage:
                    message = f"the data of '{step}' is staged from {job.data.source if job.data else ''}"
                    site.report(
                        "E0512", ("flows", name, "steps", step), f"{message}, and {tier} has no storage"
                    )
        if len(homes) > 1:
            said = " and ".join(f"'{step}' in {cluster}" for cluster, step in homes.items())
            site.report("E0845", ("flows", name, "steps"), f"{said}: a flow runs in one cluster", key=True)


def is_staged(job: Job, tier: TierName | None) -> bool:
    """Tell whether a job's data comes from another tier than the one that it runs in, and before it runs."""
    return job.data is not None and job.data.source != tier and job.data.bring == "whole"


def _known(site: Site, flow: Flow) -> Iterator[tuple[str, Job]]:
    """Give the steps whose jobs are there and sound; `references` reports the others."""
    return (
        (step, site.topology.jobs[step])
        for step in flow.steps
        if step in site.topology.jobs and site.shaped.is_sound("jobs", step)
    )


def _jobs(site: Site, name: str, flow: Flow) -> Iterator[tuple[str, str]]:
    """Give the jobs that Volcano will make of a flow: name, and that of the longest pod."""
    pools = site.pools()
    for step, job in _known(site, flow):
        placed = pools.get(job.pool)
        for template, task, pods in parts(
            step, job, staged=is_staged(job, placed.tier_name if placed else None)
        ):
            yield f"{name}-{template}", f"{name}-{template}-{task}-{pods - 1}"


def _names(site: Site, name: str, flow: Flow) -> Iterator[str]:
    topology = site.topology
    for cluster in topology.clusters:
        yield f"{topology.namespace(cluster)}.{name}"
        for made, pod in _jobs(site, name, flow):
            yield f"{topology.namespace(cluster)}.{made.removeprefix(f'{name}-')}"
            yield pod


def _circle(steps: Mapping[str, Step]) -> list[str]:
    """Give the steps of one circle, each before the one that it waits for; none when every step gets its turn."""
    left = dict(steps)
    while free := [step for step, each in left.items() if not set(each.after) & set(left)]:
        for step in free:
            del left[step]
    if not left:
        return []
    walked = [next(iter(left))]
    while True:
        following = next(each for each in left[walked[-1]].after if each in left)
        if following in walked:
            return walked[walked.index(following) :]
        walked.append(following)
