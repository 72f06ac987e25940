"""What the overlays of a store need besides themselves: a base counts as used as long as an overlay may be read.

Between `used` and `survey`: `gc` and `repair` call `lean` after each look at promises and Refs. An index does not know
how its chunks rest, so bases are learned from the trailers of packs, which are read after the promises: a writer has
stored its overlays before it promised anything, so whoever sees the promise sees what the overlays lean on.
"""

from __future__ import annotations

from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.used import Used
from toolkit.wire.digest import to_raw


def lean(used: Used, store: PackStore) -> None:
    """Count the bases of used chunks as used, also of those that lie whole elsewhere.

    An overlay goes only after the whole chunk was read, and its bases after it.

    Args:
        used: what has been found; bases are added.
        store: has read the trailers of all packs after `used` looked at promises and Refs.
    """
    for bases in list(store.bases_of(used.chunks)):
        for base in bases:
            used.chunks.put(to_raw(base))
