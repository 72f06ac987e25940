"""volcano-scheduler.conf from `scheduler` of tiers.yaml, and the ConfigMap that holds it where one is named.

Between the noun `topology.scheduler` and the template volcano/schedulerconfiguration; `tiers render --scheduler-config`
prints the text, `lint.scheduler_configuration` checks it like anybody's.

The three profiles differ in their actions alone. What was measured on Volcano 1.15.1 (tests/toolkit/cluster, gangs;
docs/cluster-tests.md) and decides the rest:

- priority, gang, conformance and capacity stand in one tier and gang has no say in who goes. Volcano asks tier by tier
  and stops at the first that names victims: with capacity one tier lower, reclaim takes what another queue deserves.
- preempt stands before reclaim. Reclaim looks only at machines with somebody to end; preempt gives a waiting gang the
  free ones first. Without it a gang that needs one free machine and three taken ones never starts.
- no enqueue in `priority`: it keeps a job without pods while the capability of its queue is used up, and what has no
  pods preempts nobody.
- the default is `priority`, because it does both: an emergency preempts, and a queue gets back what it lent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from toolkit.placement import GPU
from toolkit.render.edge_agent import ConfigMapView
from toolkit.render.lock import Lock
from toolkit.render.metadata import KEEP_ANNOTATION, Metadata, owner_labels
from toolkit.render.rendered import RenderedObject
from toolkit.render.stream import to_yaml
from toolkit.render.template import fill
from toolkit.topology.scheduler import Profile
from toolkit.topology.topology import Topology

CONFIG_KEY = "volcano-scheduler.conf"
"""Name of the file, and of the key in the ConfigMap, by Volcano's chart."""
ACTIONS: dict[Profile, str] = {
    "queued": "enqueue, allocate, backfill, preempt, reclaim",
    "priority": "allocate, backfill, preempt, reclaim",
    "whole-gang": "allocate, backfill, gangreclaim, gangpreempt",
}
PACK = 5
"""Weight of binpack among the scores of 0 to 100 that plugins give a machine; images that are there already count 1."""
GPU_WEIGHT = 10
"""Weight of GPUs within binpack; cores and memory count 1 each, and GPUs nothing unless they are named."""


@dataclass(frozen=True)
class SchedulerView:
    """What volcano/schedulerconfiguration.yaml.j2 names."""

    actions: str
    pack: int
    gpu: str
    gpu_weight_key: str
    gpu_weight: int
    hierarchy: bool
    """Whether queues stand below queues."""
    near: bool
    """Whether a gang asks how near to each other its workers stand."""
    vgpu: bool
    """Whether GPUs of a pool are given away as vGPUs."""


def scheduler_config(topology: Topology) -> str:
    """Give the text of volcano-scheduler.conf. Raises RenderError when the template does not fit."""
    profile = topology.scheduler.profile
    nested = any(queue.parent for queue in topology.queues.values())
    vgpu = any(placed.pool.gpu is not None and placed.pool.gpu.share == "vgpu" for placed in topology.pools())
    near = any(job.gang.network for job in topology.jobs.values())
    view = SchedulerView(
        ACTIONS[profile], PACK, GPU, f"binpack.resources.{GPU}", GPU_WEIGHT, nested, near, vgpu
    )
    body = fill("volcano/schedulerconfiguration.yaml.j2", Metadata("", {}), scheduler=view)
    del body["kind"]  # tells people what it is; Volcano's file has none
    header = (
        f"# Made by `tiers render --scheduler-config` from the topology {topology.name}, profile {profile}.\n"
    )
    return header + to_yaml(RenderedObject("", "scheduler", body))


def scheduler_configs(topology: Topology, _lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give the ConfigMap for Volcano's scheduler, where tiers.yaml names one and the cluster has servers.

    Raises:
        RenderError: a template does not fit.
    """
    target = topology.scheduler.target
    if target is None or topology.tiers_in(cluster) <= {"edge"}:
        return
    labels = owner_labels(topology.name, "scheduler", topology.name)
    # Taken away when the key is removed, the scheduler would stand without its configuration.
    metadata = Metadata(target.name, labels, target.namespace, {KEEP_ANNOTATION: "false"})
    view = ConfigMapView({CONFIG_KEY: scheduler_config(topology)})
    body = fill("kubernetes/configmap.yaml.j2", metadata, config_map=view)
    yield RenderedObject(cluster, "scheduler", body)
