"""Container images of our own parts.

Stands under topology; digests are pinned in tiers.lock, not here.
"""

from collections.abc import Mapping

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
