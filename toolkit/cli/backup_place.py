"""Where backups lie: options and the way to a store that `tiers backup` and `tiers restore` share.

What leaves this machine is encrypted unless somebody says no aloud, as with storages of the cold tier.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.errors import UsageError

if TYPE_CHECKING:
    from toolkit.sync.layouts.packs import PackStore
    from toolkit.sync.task import Storage
    from toolkit.topology.topology import Topology

KeyFileOption = Annotated[
    Path | None,
    typer.Option("--key-file", metavar="FILE", help="What the backup is encrypted with (tiers sync keygen)."),
]
LoginOption = Annotated[
    Path | None, typer.Option("--credentials", metavar="FILE", help="Login of the place, when it needs one.")
]
EndpointOption = Annotated[
    str, typer.Option("--endpoint", metavar="URL", help="Address of an S3 service that is not Amazon's.")
]


def open_shelf(
    text: str,
    topology: Topology | None,
    *,
    key_file: Path | None,
    login: Path | None,
    endpoint: str = "",
    readable: bool = True,
) -> PackStore:
    """Open the store that backups lie in.

    Args:
        text: a URL, a folder, or a tier of the topology.
        topology: the site, when there is one.
        key_file: what everything is encrypted with.
        login: file with the login.
        endpoint: of an S3 service.
        readable: whether it may be readable although it is not on this machine.

    Raises:
        UsageError: it is no such place, or it would be readable elsewhere and nobody said so.
        RemoteUnavailableError: it is not there or does not answer.
    """
    import msgspec

    from toolkit.sync.layouts.packs import PackStore
    from toolkit.sync.remotes.choose import open_storage

    place = _place(text, topology)
    given = {"key_file": key_file, "credentials_file": login, "endpoint": endpoint}
    place = msgspec.structs.replace(place, **{name: str(value) for name, value in given.items() if value})
    if not place.key_file and not readable and not place.url.startswith("file:"):
        raise UsageError(
            f"{place.url} leaves this site, and whoever runs it could read the backup",
            hint="tiers sync keygen FILE, then --key-file FILE; or --readable says that it may be read",
        )
    if topology is not None:
        from toolkit.cli.logins import paced_remotes_of

        return PackStore(paced_remotes_of(topology)(place))
    return PackStore(open_storage(place))


def _place(text: str, topology: Topology | None) -> Storage:
    from toolkit.sync.task import Storage

    tier = next((tier for name, tier in topology.tiers.items() if name == text), None) if topology else None
    if tier is not None:
        from toolkit.routes import place_of

        packs = [storage for storage in tier.storage if storage.kept_as == "packs"]
        if not packs:
            raise UsageError(
                f"tier {text} has no storage with the layout packs, where a backup could lie",
                hint="name a URL or a folder: tiers backup file:///srv/backup",
            )
        return place_of(text, packs[0])
    url = text if "://" in text else Path(text).absolute().as_uri()
    return Storage(tier="backup", url=url, layout="packs")
