"""Container images of our own parts.

Stands under topology; digests are pinned in tiers.lock, not here. `unlocked: warn` is for examples and first tries.
"""

from collections.abc import Mapping
from typing import Literal

from toolkit.topology.hardware import Runtime
from toolkit.topology.names import Image
from toolkit.topology.noun import Noun


class Images(Noun):
    """Images that the objects name."""

    edge: Image
    """The edge daemon, also in the pods of services."""
    jobs: Image
    """Jobs without an image of their own, and the sync agent."""
    runtimes: Mapping[Runtime, Image] = {}
    """Image of the edge daemon for hardware with this runtime, instead of `edge`."""
    unlocked: Literal["refuse", "warn"] = "refuse"
    """What becomes of an image for devices without a digest, here or in tiers.lock: it is refused, or warned of."""
