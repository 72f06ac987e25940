"""Which registry a command works on: the one it is given, else the one that tiers.yaml names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.site import variables_of

if TYPE_CHECKING:
    from toolkit.sync.layouts.packs import PackStore
    from toolkit.topology.topology import Topology

RegistryOption = Annotated[
    str,
    typer.Option(
        "--registry",
        metavar="URL",
        help="Registry: file:///folder, s3://bucket/prefix or sftp://host/folder [default: tiers.yaml's].",
        show_default=False,
    ),
]


def open_registry(
    url: str, files: Sequence[Path], assignments: Sequence[str], *, create: bool = False
) -> PackStore:
    """Open the registry that is named, else that of tiers.yaml; `create` makes its folder when it is missing.

    Raises:
        TopologyError: no URL is given and tiers.yaml is invalid.
        UsageError: the URL leads nowhere that we go, or its login is not here.
        RemoteUnavailableError: it is not there or does not answer.
    """
    if not url:
        from toolkit.topology.load import load

        return open_registry_of(load(files, variables_of(assignments)).topology, create=create)
    from toolkit.sync.layouts.packs import PackStore
    from toolkit.sync.remotes.choose import open_remote

    return PackStore(open_remote(url, create=create))


def open_registry_of(topology: Topology, url: str = "", *, create: bool = False) -> PackStore:
    """Open the registry of a topology with its login, or another one by its URL. Errors as in `open_registry`."""
    from toolkit.cli.logins import open_place
    from toolkit.routes import place_of
    from toolkit.sync.layouts.packs import PackStore

    if url:
        return open_registry(url, (), (), create=create)
    return PackStore(open_place(topology, place_of("registry", topology.registry), create=create))
