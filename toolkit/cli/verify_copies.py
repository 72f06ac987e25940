"""Which other storages of a site may help `tiers sync verify --repair`: all that answer but the one that is mended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolkit.cli.present import say

if TYPE_CHECKING:
    from toolkit.sync.other_copies import Copy
    from toolkit.sync.task import Storage
    from toolkit.topology.topology import Topology


def copies_for(topology: Topology, place: Storage, also: list[Storage]) -> list[Copy]:
    """Open every storage of the site but one; says which do not answer.

    Args:
        topology: all of tiers.yaml.
        place: the storage that is mended.
        also: places of the route that tiers.yaml does not name, such as those of a trial run.
    """
    from toolkit.cli.logins import paced_remotes_of
    from toolkit.errors import TiersError
    from toolkit.routes import place_of
    from toolkit.sync.layouts.packs import PackStore
    from toolkit.sync.other_copies import MirrorCopy, PackCopy
    from toolkit.sync.remotes.choose import folder_of

    places = [
        *also,
        *(place_of(home, each) for home, tier in topology.tiers.items() for each in tier.storage),
    ]
    copies: list[Copy] = []
    opened = paced_remotes_of(topology)
    seen = {place.url}
    for other in places:
        if other.url in seen:
            continue
        seen.add(other.url)
        try:
            if other.layout == "packs":
                copies.append(PackCopy(PackStore(opened(other))))
            else:
                copies.append(MirrorCopy(folder_of(other.url)))
        except TiersError as error:
            say(f"no copy from {other.url}: {error.message}")
    return copies
