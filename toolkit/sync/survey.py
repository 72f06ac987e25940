"""Which packs and documents of a store are needed, and which are not. Between `used` and the deletions of `gc`.

A pack is needed when it has a chunk that is used and that no other needed pack has. Of several packs with the same
chunk those of whole chunks stay, of these those that are not condemned, then those with the larger used share, then
those with the smaller name: all who look at the same store see the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from toolkit.sync.digest_table import DigestTable
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.used import Used
from toolkit.wire.digest import RAW_BYTES, Digest, to_raw


@dataclass
class Survey:
    """What a look at a store found."""

    unused: dict[str, int] = field(default_factory=dict)
    """Keys of packs, indexes and manifests that nobody needs, with their bytes."""
    doubled: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    """Of these, the packs whose chunks are used but lie in other packs too, with those chunks (raw digests)."""
    thin: dict[Digest, tuple[int, int]] = field(default_factory=dict)
    """Needed packs with the stored bytes of their needed chunks, and of all."""
    packs: int = 0
    pack_bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    """Packs whose list of chunks cannot be read; they stay."""
    missing: int = 0
    """Used chunks that no readable pack has."""


@dataclass
class _Pack:
    pack: Digest
    size: int
    stored: int
    """Bytes of all chunks."""
    live: int
    """Bytes of the used ones."""
    of_overlays: bool
    chunks: bytes
    """Raw digests of the used ones, one behind the other."""

    def digests(self) -> Iterator[bytes]:
        """Yield them."""
        return (self.chunks[at : at + RAW_BYTES] for at in range(0, len(self.chunks), RAW_BYTES))


def survey(store: PackStore, used: Used, *, condemned: Collection[str] = ()) -> Survey:
    """Look at everything that a store holds.

    Args:
        store: what to look at; every trailer is read.
        used: what is needed.
        condemned: keys that go; what they have is looked for elsewhere first.

    Raises:
        RemoteUnavailableError: the store does not answer.
    """
    found = Survey()
    packs = list(_packs(store, used, found))
    packs.sort(
        key=lambda each: (
            each.of_overlays,  # a base must lie whole, and whoever has a chunk whole needs no overlay of it
            f"packs/{each.pack}" in condemned,
            -each.live / (each.stored or 1),
            each.pack,
        )
    )
    covered = DigestTable()
    for each in packs:
        key = f"packs/{each.pack}"
        if all(raw in covered for raw in each.digests()):
            found.unused[key] = each.size
            if each.chunks:
                found.doubled[key] = tuple(each.digests())
            continue
        for raw in each.digests():
            covered.put(raw)
        found.thin[each.pack] = (each.live, each.stored)
    found.missing = len(used.chunks) - len(covered)
    for prefix in ("indexes/", "manifests/"):
        for listed in store.remote.list(prefix):
            if listed.key not in used.keys:
                found.unused[listed.key] = listed.size
    return found


def _packs(store: PackStore, used: Used, found: Survey) -> Iterator[_Pack]:
    for pack, size, entries in store.packs():
        found.packs += 1
        found.pack_bytes += size
        if entries is None:
            found.damaged.append(f"packs/{pack}")
            continue
        stored = live = 0
        chunks: list[bytes] = []
        for entry in entries:
            stored += entry.length
            raw = to_raw(entry.digest)
            if raw in used.chunks:
                live += entry.length
                chunks.append(raw)
        yield _Pack(pack, size, stored, live, any(entry.bases for entry in entries[:1]), b"".join(chunks))
