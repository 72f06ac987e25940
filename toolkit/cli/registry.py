"""Which registry a command works on: the one it is given, else the one that tiers.yaml names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.site import variables_of

if TYPE_CHECKING:
    from toolkit.sync.layouts.packs import PackStore

RegistryOption = Annotated[
    str,
    typer.Option(
        "--registry",
        metavar="URL",
        help="Registry, file:///folder [default: tiers.yaml's].",
        show_default=False,
    ),
]


def registry_url(url: str, files: Sequence[Path], assignments: Sequence[str]) -> str:
    """Give the registry's URL.

    Raises:
        TopologyError: no URL is given and tiers.yaml is invalid.
    """
    if url:
        return url
    from toolkit.topology.load import load

    return load(files, variables_of(assignments)).topology.registry.url


def open_registry(url: str, *, create: bool = False) -> PackStore:
    """Open a registry; `create` makes its folder when it is missing.

    Raises:
        UsageError: the URL leads nowhere that we go.
        RemoteUnavailableError: it is not there or does not answer.
    """
    from toolkit.sync.layouts.packs import PackStore
    from toolkit.sync.remotes.choose import open_remote

    return PackStore(open_remote(url, create=create))
