"""Which images rendered objects name, for which machines; and whether an edge device would get one without a digest.

After `objects`. `tiers images` lists and pins what is found here; commands that render refuse what is not pinned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from toolkit.placement import ARCH_LABEL, EDGE_LABEL
from toolkit.render.rendered import RenderedObject

_ON_DEVICES = frozenset({"ImagePrePullJob"})
"""Kinds that name images for devices without a pod."""
_BY_VERSION = frozenset({"NodeUpgradeJob"})
"""Kinds whose image KubeEdge itself gives a tag, so that none can be pinned; `upgrade.digests` are checked instead."""


@dataclass(frozen=True)
class NamedImage:
    """One image in one object."""

    image: str
    """As it stands there, with its digest where it has one."""
    source: str
    """What of tiers.yaml the object was made from."""
    kind: str
    name: str
    """Of the object."""
    edge: bool
    """Whether devices pull it."""
    architecture: str = ""
    """Of the machines, such as arm64; empty where the object does not say."""

    @property
    def tagged(self) -> str:
        """The name without digest."""
        return self.image.partition("@")[0]

    @property
    def digest(self) -> str:
        """sha256:…, empty without."""
        return self.image.partition("@")[2]


def images_of(objects: Iterable[RenderedObject]) -> Iterator[NamedImage]:
    """Give every image that objects name, each as often as it stands there."""
    for each in objects:
        if each.kind in _BY_VERSION:
            continue
        for image, selector in _named(each.body, {}):
            edge = EDGE_LABEL in selector or each.kind in _ON_DEVICES
            architecture = str(selector.get(ARCH_LABEL, ""))
            yield NamedImage(image, each.source, each.kind, each.name, edge, architecture)


def unpinned_on_edge(objects: Iterable[RenderedObject]) -> tuple[str, ...]:
    """Give the images without a digest that devices would pull, each once."""
    return tuple(dict.fromkeys(each.image for each in images_of(objects) if each.edge and not each.digest))


def _named(value: object, selector: Mapping[str, object]) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Give what stands under `image` and `images`, with the node selector of the pod around it."""
    if isinstance(value, Mapping):
        inner = value.get("nodeSelector")
        selector = inner if isinstance(inner, Mapping) else selector
        for key, below in value.items():
            if key == "image" and isinstance(below, str):
                yield below, selector
            elif key == "images" and isinstance(below, Sequence) and not isinstance(below, str):
                yield from ((each, selector) for each in below if isinstance(each, str))
            else:
                yield from _named(below, selector)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _named(each, selector)
