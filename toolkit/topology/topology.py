"""The Topology: all of tiers.yaml as one value, and the look-ups that need more than one noun.

The end of loading and the start of everything else: placement, routes, render, jobs and fleet read it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from toolkit.topology.alerts import Alerts
from toolkit.topology.broker import Broker
from toolkit.topology.cluster import Cluster
from toolkit.topology.depot import Depot, Driver
from toolkit.topology.effective import Alike, rules_for, settings_of, settings_of_all
from toolkit.topology.flow import Flow
from toolkit.topology.hardware import PROFILES, Hardware
from toolkit.topology.images import Images
from toolkit.topology.job import Job
from toolkit.topology.lifecycle import Lifecycle
from toolkit.topology.message import Message
from toolkit.topology.model import Model
from toolkit.topology.monitoring import Monitoring
from toolkit.topology.names import Name, TierName, VariableName
from toolkit.topology.network import Network, Prices
from toolkit.topology.noun import Noun
from toolkit.topology.override import Override
from toolkit.topology.pool import Pool
from toolkit.topology.priority import PriorityOrValue, preempts
from toolkit.topology.queue import Queue, gpu_limit
from toolkit.topology.quota import Quota
from toolkit.topology.route import Route
from toolkit.topology.scheduler import Scheduler
from toolkit.topology.sensor import Sensor
from toolkit.topology.service import Service
from toolkit.topology.settings import Settings
from toolkit.topology.storage import StorageClass, StorageOrUrl
from toolkit.topology.tier import Tier

_DEVICE_DIGITS = 3


def _check_variable_value(value: object) -> object:
    """Refuse lists and mappings as the value of a variable."""
    if isinstance(value, dict | list | tuple):
        raise PydanticCustomError("E0204", "a variable takes one value, not keys or a list")
    return value


VariableValue = Annotated[
    object,
    AfterValidator(_check_variable_value),
    WithJsonSchema({"type": ["string", "number", "boolean", "null"]}),
]
"""The default of a variable: one value, or nothing when --set has to give it."""


@dataclass(frozen=True)
class PlacedPool:
    """A pool together with where it stands and what its machines are."""

    name: str
    tier_name: TierName
    tier: Tier
    pool: Pool
    hardware: Hardware

    @property
    def gpus_per_node(self) -> int:
        """GPUs in one machine: what the pool says, else the profile."""
        return self.pool.gpus if self.pool.gpus is not None else self.hardware.gpus or 0

    @property
    def gpu_shares(self) -> int:
        """How many pods one GPU takes."""
        return self.pool.gpu.replicas if self.pool.gpu else 1

    @property
    def gpus(self) -> int:
        """GPUs in all machines of the pool."""
        return self.gpus_per_node * self.pool.nodes.total

    @property
    def node_names(self) -> tuple[str, ...]:
        """Names of the machines; with a count they are POOL-001 and so on."""
        nodes = self.pool.nodes
        if nodes.count is None:
            return nodes.names
        digits = max(_DEVICE_DIGITS, len(str(nodes.count)))
        return tuple(f"{self.name}-{number:0{digits}d}" for number in range(1, nodes.count + 1))

    def labels_of(self, device: str) -> Mapping[str, str]:
        """Give the labels of one device: those that all of the pool carry, and its own, which beat them."""
        own = self.pool.nodes.own_labels.get(device)
        return {**self.pool.nodes.labels, **own} if own else self.pool.nodes.labels


class Topology(Noun):
    """All of tiers.yaml."""

    model_config = ConfigDict(title="tiers.yaml")

    version: Literal[1]
    """Version of this format; 1 grows by optional keys only."""
    name: Name
    """Name of the site; namespace and labels of all objects."""
    registry: StorageOrUrl
    """Where artifacts are kept."""
    broker: Broker
    """Where devices and the cloud meet."""
    depot: Depot | None = None
    """Hands models to devices, from the cluster; nothing means that somebody runs `tiers depot`."""
    driver: Driver | None = None
    """Steers rollouts from the cluster; nothing means that somebody runs `tiers rollout run`."""
    clusters: Annotated[Mapping[Name, Cluster], Field(min_length=1)]
    """Kubernetes clusters, by a name of ours."""
    images: Images
    """Container images of our own parts."""
    tiers: Annotated[Mapping[TierName, Tier], Field(min_length=1)]
    """The layers of machines."""
    variables: Mapping[VariableName, VariableValue] = {}
    """Variables that `${NAME}` may use, with their defaults; one without a value needs `--set NAME=VALUE`."""
    hardware: Mapping[Name, Hardware] = {}
    """Hardware profiles of this site; one with the name of a known profile replaces it."""
    inventory: str | None = None
    """CSV file of devices, beside this file, with the columns name and pool; further columns are their settings, those
    called labels.KEY their labels."""
    overrides: tuple[Override, ...] = ()
    """Settings for devices that a rule matches by name or label; a later rule beats an earlier one."""
    storage_classes: Mapping[Name, StorageClass] = {}
    """Kinds of volumes that claims name."""
    priorities: Mapping[Name, PriorityOrValue] = {}
    """Priority classes; the higher number goes first."""
    quotas: Mapping[Name, Quota] = {}
    """The most that pods of one priority may use together, by the name of the priority."""
    queues: Mapping[Name, Queue] = {}
    """Shares of the machines."""
    scheduler: Scheduler = Scheduler()
    """How Volcano's scheduler shares the machines."""
    models: Mapping[Name, Model] = {}
    """Models and how devices serve them."""
    jobs: Mapping[Name, Job] = {}
    """Work for gangs."""
    flows: Mapping[Name, Flow] = {}
    """Jobs that run one after the other."""
    routes: Mapping[Name, Route] = {}
    """Data that goes between tiers."""
    lifecycle: Lifecycle = Lifecycle()
    """What happens to data as it ages."""
    messages: Mapping[Name, Message] = {}
    """Small messages between the cloud and devices, which may be lost."""
    sensors: Mapping[Name, Sensor] = {}
    """Medical machines beside devices, whose settings are read."""
    services: Mapping[Name, Service] = {}
    """Inference servers on hot and warm."""
    alerts: Alerts = Alerts()
    """When somebody is called."""
    monitoring: Monitoring | None = None
    """Who watches; nothing means that no rules are written."""
    network: Network = Network()
    """Lines between tiers."""
    prices: Prices | None = None
    """What machines and storage cost."""

    def pools(self) -> Iterator[PlacedPool]:
        """Give every pool with its tier and hardware, in the order of the file."""
        for tier_name in self.tiers:
            yield from self.pools_of(tier_name)

    def pools_of(self, tier_name: TierName) -> Iterator[PlacedPool]:
        """Give the pools of one tier, in the order of the file. Raises KeyError when there is no such tier."""
        tier = self.tiers[tier_name]
        for name, pool in tier.pools.items():
            yield PlacedPool(name, tier_name, tier, pool, self.hardware_named(pool.hardware))

    def pool(self, name: str) -> PlacedPool:
        """Give one pool. Raises KeyError when there is none, which loading has ruled out for names of the file."""
        for placed in self.pools():
            if placed.name == name:
                return placed
        raise KeyError(name)

    def hardware_named(self, name: str) -> Hardware:
        """Give a hardware profile: the site's own, else a known one. Raises KeyError."""
        return self.hardware[name] if name in self.hardware else PROFILES[name]

    def namespace(self, cluster: str) -> str:
        """Give the namespace of our objects in a cluster."""
        return self.clusters[cluster].namespace or self.name

    def cluster_of(self, placed: PlacedPool) -> str:
        """Name the cluster that a pool's machines belong to: the one that names the pool, else the tier's.

        Raises:
            KeyError: none has it; loading has ruled that out.
        """
        for name, cluster in self.clusters.items():
            if placed.name in cluster.pools:
                return name
        for name, cluster in self.clusters.items():
            if placed.tier_name in cluster.tiers:
                return name
        raise KeyError(placed.name)

    def pools_in(self, cluster: str) -> Iterator[PlacedPool]:
        """Give the pools of a cluster, in the order of the file."""
        return (placed for placed in self.pools() if self.cluster_of(placed) == cluster)

    def tiers_in(self, cluster: str) -> frozenset[TierName]:
        """Give the tiers that a cluster names or has a pool of."""
        return frozenset(self.clusters[cluster].tiers) | {each.tier_name for each in self.pools_in(cluster)}

    def models_on(self, pool: str) -> dict[str, Model]:
        """Give the models that devices of a pool serve, by name."""
        return {name: model for name, model in self.models.items() if pool in model.pools}

    def gpu_limit(self, queue: str) -> int | None:
        """Give the most GPUs that a queue may use, see `queue.gpu_limit`. Raises KeyError when there is none."""
        tier = self.queues[queue].tier
        there = sum(placed.gpus for placed in self.pools_of(tier))
        return gpu_limit(self.queues, queue, there)

    def preempts(self, priority: str) -> bool:
        """Tell whether pods with a priority may end pods with a lower one. Raises KeyError when there is none."""
        return preempts(self.priorities, priority, queues=bool(self.queues))

    def edge_image(self, placed: PlacedPool) -> str:
        """Give the image of the edge daemon for a pool: its own, else by runtime, else images.edge."""
        return placed.pool.image or self.images.runtimes.get(placed.hardware.runtime) or self.images.edge

    def settings_of(self, placed: PlacedPool, device: str | None = None) -> Settings:
        """Give the settings that hold for a pool or one device of it: device beats rules beat pool beats tier."""
        return settings_of(placed, device, self.overrides)

    def settings_of_all(self, placed: PlacedPool) -> tuple[Alike, ...]:
        """Give all devices of a pool in groups for which the same settings hold."""
        return settings_of_all(placed, self.overrides)

    def rules_for(self, placed: PlacedPool, device: str) -> tuple[int, ...]:
        """Give the positions in `overrides` of the rules that match a device, the strongest last."""
        return rules_for(placed, device, self.overrides)
