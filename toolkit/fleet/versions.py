"""Which models run in another version than tiers.yaml says. Between what stands retained and `tiers diff --models`.

What a device runs is in its desired state alone; `tiers apply` never moves a model. So a difference here is no fault of
the cluster: it names the command that starts a rollout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from toolkit.fleet.text import clean
from toolkit.topology.topology import Topology
from toolkit.wire.desired import Desired


@dataclass(frozen=True)
class VersionDifference:
    """One model that is not everywhere in the version of tiers.yaml."""

    model: str
    wanted: str
    """Version in tiers.yaml."""
    live: Mapping[str, int]
    """Version → how many devices shall run it; empty when no device has been told any."""

    @property
    def command(self) -> str:
        """What to type to make it so."""
        return f"tiers rollout start {self.model}"

    def __str__(self) -> str:
        """Say it in one line."""
        told = ", ".join(f"{version} on {count}" for version, count in sorted(self.live.items()))
        return f"model {self.model}: {told or 'none'} live, {self.wanted} in tiers.yaml; next: {self.command}"


def version_differences(topology: Topology, desired: Mapping[str, Desired]) -> tuple[VersionDifference, ...]:
    """Compare the versions that devices were told with those of tiers.yaml.

    Args:
        topology: says which version each model shall have.
        desired: device → its desired state, as it stands at the broker.
    """
    live: dict[str, Counter[str]] = {}
    for state in desired.values():
        for entry in state.models:
            live.setdefault(entry.model, Counter())[clean(entry.version)] += 1
    found = []
    for name, model in topology.models.items():
        wanted = model.source.rpartition("@")[2]
        there = live.get(name, Counter())
        if set(there) != {wanted}:
            found.append(VersionDifference(name, wanted, dict(there)))
    return tuple(found)
