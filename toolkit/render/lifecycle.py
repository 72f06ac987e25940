"""`lifecycle.pool` → a CronJob that carries the rules about ageing data out, by the clock of the cluster.

Between `policies` and the templates of agents: a ConfigMap with the policy, an account that may do nothing, a CronJob
that runs `cloud_jobs.lifecycle` on one pool and sees every storage but those of devices.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from toolkit.placement import cluster_wide_name, place_pool
from toolkit.policies import policy_of
from toolkit.render.edge_agent import ConfigMapView
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.quantities import memory_quantity
from toolkit.render.rendered import RenderedObject
from toolkit.render.storage import storage_mounts
from toolkit.render.sync_agents import PRIORITY, TimerView, cron_schedule
from toolkit.render.template import fill
from toolkit.render.worker_pod import Program, config_mount, pod, service_account
from toolkit.sync.policies.policy import encode_policy
from toolkit.topology.lifecycle import PERIODS
from toolkit.topology.topology import Topology

NOUN = "lifecycle"
SOURCE = "lifecycle"
NAME = "tiers-lifecycle"
FOLDER, FILE = "/etc/tiers/lifecycle", "policy.json"
_LATE_SECONDS = 900
_REQUESTS = {"cpu": "250m", "memory": "256Mi"}


def lifecycles(topology: Topology, lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give the CronJob of a site's rules and what it needs; nothing where they are carried out by hand.

    Raises:
        UsageError, IntegrityError: the rules cannot be carried out, see `policies.policy_of`.
    """
    lifecycle = topology.lifecycle
    if lifecycle.pool is None:
        return
    placement = place_pool(topology, topology.pool(lifecycle.pool))
    if placement.cluster != cluster:
        return
    labels = owner_labels(topology.name, NOUN, NOUN)
    metadata = Metadata(NAME, labels, placement.namespace)
    text = msgspec.json.format(encode_policy(policy_of(topology)), indent=2).decode() + "\n"
    yield service_account(cluster, SOURCE, metadata)
    body = fill("kubernetes/configmap.yaml.j2", metadata, config_map=ConfigMapView({FILE: text}))
    yield RenderedObject(cluster, SOURCE, body)
    seen = (
        (name, storage) for name, tier in topology.tiers.items() if name != "edge" for storage in tier.storage
    )
    program = Program(
        name=NOUN,
        image=lock.pinned(topology.images.jobs),
        command=("python", "-m", "cloud_jobs.lifecycle", f"{FOLDER}/{FILE}"),
        requests=_REQUESTS,
        limits={"memory": memory_quantity(lifecycle.memory.count)},
        mounts=(config_mount(NAME, FOLDER), *storage_mounts(seen)),
        config=text,
        ports={},
        env={"HOME": "/tmp"},  # noqa: S108 -- an emptyDir of the pod; the user has no home
    )
    view = pod(
        placement,
        labels,
        program,
        account=NAME,
        priority_class=cluster_wide_name(topology, PRIORITY) if PRIORITY in topology.priorities else "",
        restart_policy="Never",
    )
    timer = TimerView(cron_schedule(NAME, PERIODS[lifecycle.runs]), _LATE_SECONDS)
    body = fill("kubernetes/cronjob.yaml.j2", metadata, timer=timer, pod=view)
    yield RenderedObject(cluster, SOURCE, body)
