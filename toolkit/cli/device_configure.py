"""`tiers device configure FILE`: store settings of devices as a signed artifact, which a rollout brings to them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.registry import RegistryOption, open_registry
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption

SettingsArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help='JSON such as {"format": 1, "report_seconds": 60}.')
]


def configure(
    file: SettingsArgument,
    version: Annotated[str, typer.Option("--version", help="A version; it never changes.")],
    key: Annotated[Path, typer.Option("--key", help="The registry's private key.")],
    registry: RegistryOption = "",
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Store settings that devices lay over their configuration; `tiers rollout start device-settings` brings them."""
    from toolkit.registry.keys import read_key
    from toolkit.registry.push_settings import push_settings, read_settings

    settings = read_settings(file)
    private = read_key(key)
    store = open_registry(registry, files, assignments, create=True)
    pushed = push_settings(store, settings, version, private)
    value = asdict(pushed)
    show(value, Table(("what", "value"), list(value.items())), output, as_json=as_json)
    say(
        f"next: source: {pushed.name}@{version} under models.{pushed.name}, then tiers rollout start {pushed.name}"
    )
