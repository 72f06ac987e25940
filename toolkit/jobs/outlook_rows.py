"""An Outlook as rows of what and value, for people. After `outlook`; `tiers job plan` prints them."""

from __future__ import annotations

import shlex

from toolkit.jobs.amount import count
from toolkit.jobs.outlook import Outlook
from toolkit.render.quantities import memory_quantity


def rows(plan: Outlook) -> list[tuple[str, str]]:
    """Give what a person wants to know before submitting; what does not apply is left out."""
    size = f"{count(plan.cpus_per_worker, 'core')}, {memory_quantity(plan.memory_per_worker)} memory"
    if plan.gpus_per_worker:
        size = f"{count(plan.gpus_per_worker, 'GPU')}, {size}"
    rigid = plan.minimum == plan.workers
    gang = "all start together or none does" if rigid else f"at least {plan.minimum} start together"
    limit = ", ".join(f"{amount} {name}" for name, amount in plan.queue_limit.items())
    listed = [
        ("runs on", f"pool {plan.pool} of tier {plan.tier}, cluster {plan.cluster}, namespace {plan.namespace}"),
        ("gang", f"{count(plan.workers, 'worker')}; {gang}"),
        ("a worker", size),
        ("in all", f"{count(plan.gpus, 'GPU')}, {plan.needs_machines} of {count(plan.machines, 'machine')} when empty"),
        ("queue", plan.queue + (f" (at most {limit})" if limit else "")),
        ("priority", plan.priority_class),
        ("image", plan.image),
        ("command", shlex.join(plan.command)),
        ("data", plan.data),
        ("checkpoints", plan.checkpoints),
        ("retries", str(plan.retries)),
        *(("after", each) for each in plan.restarts),
        ("to stop", f"{plan.grace_seconds:.0f} s for a last checkpoint"),
        ("kept", f"{plan.kept_seconds / 86400:g} days after its end"),
        *(("why", each) for each in plan.why),
    ]  # fmt: skip
    return [(what, value) for what, value in listed if value]
