"""Which stores of packs a command works on: those of a tier, the registry, a URL, or all that tiers.yaml names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from toolkit.sync.task import Storage
    from toolkit.topology.topology import Topology

StoresArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TIER|registry|URL]...",
        help="Whose packs [default: of all tiers, and the registry].",
        show_default=False,
    ),
]
REGISTRY = "registry"


def stores_of(topology: Topology, named: list[str] | None) -> list[Storage]:
    """Give the storages with the layout packs that are meant.

    Raises:
        UsageError: there is no such tier, or it has no packs.
    """
    from toolkit.errors import UsageError
    from toolkit.routes import place_of
    from toolkit.sync.task import Storage

    places = [place_of(home, each) for home, tier in topology.tiers.items() for each in tier.storage]
    packs = [place for place in places if place.layout == "packs"]
    packs.append(place_of(REGISTRY, topology.registry))
    found: list[Storage] = [] if named else packs
    for name in named or ():
        mine = [place for place in packs if name in {place.tier, place.url}]
        if not mine and "://" in name:
            mine = [Storage(tier="", url=name, layout="packs")]
        if not mine:
            known = ", ".join(sorted({place.tier for place in packs}))
            raise UsageError(f"{name} has no packs; there are some of: {known}", hint="or name a URL")
        found += mine
    return found
