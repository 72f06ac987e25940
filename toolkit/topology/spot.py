"""Machines that the cloud may take back at any time: whose they are, how they are marked, how long the warning is.

Stands under pool; `placement` puts labels and tolerations of MARKS on the pods of such a pool. Sources: "Spot VMs in
GKE" (Google), "Add an Azure Spot node pool" (Microsoft), "Managed node groups" (Amazon), labels known to Karpenter.
"""

from dataclasses import dataclass
from typing import Literal

from toolkit.topology.noun import Noun

Provider = Literal["gke", "aks", "eks", "karpenter"]


@dataclass(frozen=True)
class Mark:
    """How one provider marks such a machine."""

    key: str
    """Of the node label, and of the taint where there is one."""
    value: str
    tainted: bool
    """Whether there is a taint NoSchedule with the same key and value."""
    notice_seconds: int
    """What a pod has from the signal to the end when the machine is taken back, whatever it asks for."""


MARKS: dict[Provider, Mark] = {
    # Half a minute for the machine, of which kubelet keeps a half for the pods of the system.
    "gke": Mark("cloud.google.com/gke-spot", "true", tainted=True, notice_seconds=15),
    "aks": Mark("kubernetes.azure.com/scalesetpriority", "spot", tainted=True, notice_seconds=30),
    "eks": Mark("eks.amazonaws.com/capacityType", "SPOT", tainted=False, notice_seconds=120),
    "karpenter": Mark("karpenter.sh/capacity-type", "spot", tainted=False, notice_seconds=120),
}


class Spot(Noun):
    """Machines that the cloud may take back at any time."""

    provider: Provider
    """Whose labels and taints mark such a machine."""

    @property
    def mark(self) -> Mark:
        """How such a machine is known."""
        return MARKS[self.provider]
