"""What a command says about images for devices that have no digest: a refusal, or a warning where tiers.yaml allows it.

For the commands whose objects reach devices: `render`, `plan`, `apply`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from toolkit.cli.present import say
from toolkit.errors import GateRefusedError

if TYPE_CHECKING:
    from toolkit.render.rendered import RenderedObject
    from toolkit.topology.topology import Topology


def refuse_unlocked(topology: Topology, objects: Iterable[RenderedObject]) -> None:
    """Refuse tags on devices.

    Raises:
        GateRefusedError: one is there and tiers.yaml does not say `images: {unlocked: warn}`.
    """
    from toolkit.render.images import unpinned_on_edge

    names = unpinned_on_edge(objects)
    if not names:
        return
    message = (
        f"no digest for {', '.join(names)}: each device would run what the tag means on the day it pulls"
    )
    if topology.images.unlocked == "refuse":
        raise GateRefusedError(message, hint="tiers images lock")
    say(f"warning: {message}; next: tiers images lock")
