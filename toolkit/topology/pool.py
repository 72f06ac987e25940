"""A node pool: machines of one kind in one tier.

Stands under tier; models, jobs and services name pools.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from toolkit.topology.kubeedge import Upgrade
from toolkit.topology.names import Image, LabelKey, LabelValue, Name, NodeName
from toolkit.topology.noun import Noun
from toolkit.topology.settings import Settings
from toolkit.topology.spot import Spot
from toolkit.topology.units import Bytes


class Rack(Noun):
    """Machines that stand behind one switch."""

    names: tuple[NodeName, ...] = ()
    """Their node names."""
    labels: Mapping[LabelKey, LabelValue] = {}
    """Or the labels by which the cluster knows them."""


class Nodes(Noun):
    """Which machines a pool has: a count, their names, or rows of the inventory."""

    count: Annotated[int, Field(ge=0)] | None = None
    """How many there are; a device is then called POOL-001, POOL-002 and so on."""
    names: tuple[NodeName, ...] = ()
    """Their Kubernetes node names; for devices this is also the MQTT user and the name in the certificate."""
    labels: Mapping[LabelKey, LabelValue] = {}
    """Kubernetes labels that all of them carry."""
    racks: Mapping[Name, Rack] = {}
    """Which of them stand near each other; workers of a gang with `network` are kept together."""
    own_labels: Mapping[NodeName, Mapping[LabelKey, LabelValue]] = {}
    """Labels of single devices, by name; rules of `overrides` go by them."""

    @property
    def total(self) -> int:
        """How many machines there are."""
        return len(self.names) if self.count is None else self.count


class GpuSharing(Noun):
    """How several pods share one GPU."""

    share: Literal["timeslice", "mps", "vgpu"]
    """Time slices, MPS, or Volcano's vGPU."""
    replicas: Annotated[int, Field(ge=2, le=48)] = 4
    """How many pods one GPU takes."""
    memory: Bytes | None = None
    """Memory that one share may use; mps and vgpu only."""


class Toleration(Noun):
    """A taint that pods on this pool tolerate."""

    key: LabelKey
    """Key of the taint."""
    value: LabelValue | None = None
    """Value of the taint; nothing means any value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; nothing means all."""


class Placement(Noun):
    """Extra conditions for pods on this pool."""

    labels: Mapping[LabelKey, LabelValue] = {}
    """Node labels that must be there, beside the pool's own."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints that are tolerated, beside the pool's own."""


class Pool(Noun):
    """Machines of one kind in one tier."""

    hardware: Name
    """A known hardware profile, or one from `hardware:`."""
    nodes: Nodes
    """Which machines there are."""
    gpus: Annotated[int, Field(ge=0, le=64)] | None = None
    """GPUs in one machine; needed for data-centre cards, known for a Jetson."""
    cpus: Annotated[int, Field(ge=1)] | None = None
    """Processor cores of one machine, when the profile does not fix them."""
    memory: Bytes | None = None
    """Main memory of one machine, when the profile does not fix it."""
    image: Image | None = None
    """Image of the edge daemon on this pool, instead of images.edge."""
    gpu: GpuSharing | None = None
    """How several pods share one GPU; nothing means that a pod has it alone."""
    device_plugin: bool | None = None
    """Whether tiers brings the program that offers the GPUs to Kubernetes; default: only where they are shared. Say
    false where NVIDIA's GPU operator does it, true for Jetsons without it."""
    spot: Spot | None = None
    """Says that the cloud may take these machines back."""
    upgrade: Upgrade | None = None
    """Version of KubeEdge that its devices shall move to; edge pools only."""
    placement: Placement = Placement()
    """Extra conditions for pods on this pool."""
    settings: Settings = Settings()
    """Settings of this pool's devices; beats the tier's."""
    devices: Mapping[NodeName, Settings] = {}
    """Settings of single devices, by name; beats the pool's."""
