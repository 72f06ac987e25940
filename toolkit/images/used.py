"""Every image of a site: which keys of tiers.yaml name it, which objects run it on which machines, and its digest.

Between `render.images` and the commands `tiers images list` and `lock`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from toolkit.errors import Place
from toolkit.render.images import NamedImage, images_of
from toolkit.render.lock import Lock
from toolkit.render.rendered import RenderedObject
from toolkit.topology.load import Loaded
from toolkit.topology.nodes import Scalar, dotted, walk


@dataclass(frozen=True)
class ImageKey:
    """A place in tiers.yaml that names an image."""

    path: str
    place: Place


@dataclass(frozen=True)
class UsedImage:
    """One image."""

    image: str
    """As tiers.yaml writes it."""
    digest: str
    """Of tiers.lock or of its name; empty when it is not pinned."""
    locked: bool
    """Whether the digest comes from tiers.lock."""
    edge: bool
    """Whether devices pull it; those take nothing that is not pinned."""
    platforms: tuple[str, ...]
    """os/architecture of the machines that run it, such as linux/arm64."""
    keys: tuple[ImageKey, ...]
    """Where tiers.yaml names it; none for an image that rendering itself brings."""
    objects: tuple[str, ...]
    """Kind and name of the objects that run it."""


def used_images(loaded: Loaded, objects: Iterable[RenderedObject], lock: Lock) -> tuple[UsedImage, ...]:
    """Give the images that rendering names, in order of name.

    Args:
        loaded: a site.
        objects: what it renders to, with any lock.
        lock: the digests that are known.
    """
    found: dict[str, list[NamedImage]] = {}
    for each in images_of(objects):
        found.setdefault(each.tagged, []).append(each)
    keys: dict[str, list[ImageKey]] = {}
    for path, node in walk(loaded.document):
        if isinstance(node, Scalar) and isinstance(node.value, str):
            keys.setdefault(node.value, []).append(ImageKey(dotted(path), node.place))
    return tuple(_used(name, found[name], keys, lock) for name in sorted(found))


def _used(name: str, places: list[NamedImage], keys: dict[str, list[ImageKey]], lock: Lock) -> UsedImage:
    written = next((text for text in keys if text.partition("@")[0] == name and "@" in text), name)
    own = written.partition("@")[2]
    digest = own or lock.images.get(name, "")
    machines = {f"linux/{each.architecture}" for each in places if each.architecture}
    return UsedImage(
        image=written,
        digest=digest,
        locked=bool(digest) and not own,
        edge=any(each.edge for each in places),
        platforms=tuple(sorted(machines)),
        keys=tuple(keys.get(written, ())),
        objects=tuple(dict.fromkeys(f"{each.kind} {each.name}" for each in places)),
    )
