"""What every rule gets: the sound nouns, the document for places, and the way to report.

Made once by `load`; the rules in this folder take it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from toolkit.topology.findings import Findings
from toolkit.topology.hardware import PROFILES, Hardware
from toolkit.topology.nodes import Fields, Path, place_of
from toolkit.topology.shape import Shaped
from toolkit.topology.topology import PlacedPool, Topology

T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """A site under examination."""

    root: Fields
    shaped: Shaped
    findings: Findings

    @property
    def topology(self) -> Topology:
        """The sound part of the site."""
        return self.shaped.topology

    def report(self, code: str, path: Path, message: str, *, key: bool = False, cure: str = "") -> None:
        """Report a problem at the value (or the key) of a path."""
        self.findings.add(code, place_of(self.root, path, key=key), message, cure=cure)

    def sound(self, section: str, nouns: Mapping[str, T]) -> Iterator[tuple[str, T]]:
        """Give the nouns of a section from which nothing was cut out."""
        return ((name, noun) for name, noun in nouns.items() if self.shaped.is_sound(section, name))

    def pools(self) -> dict[str, PlacedPool]:
        """Give the sound pools with known hardware, by name; of two with one name the first."""
        found: dict[str, PlacedPool] = {}
        for tier_name, tier in self.topology.tiers.items():
            for name, pool in tier.pools.items():
                hardware = self.hardware(pool.hardware)
                if hardware is not None and self.shaped.is_sound("tiers", tier_name, "pools", name):
                    found.setdefault(name, PlacedPool(name, tier_name, tier, pool, hardware))
        return found

    def hardware(self, name: str) -> Hardware | None:
        """Give a hardware profile, None when it is unknown, which `references` reports."""
        return self.topology.hardware.get(name) or PROFILES.get(name)
