"""`tiers model list [NAME]`: what the registry holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show
from toolkit.cli.registry import RegistryOption, open_registry
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption

KeyringOption = Annotated[
    Path | None, typer.Option("--keyring", help="Whose signatures count; without it they are not checked.")
]
COLUMNS = ("model", "version", "counter", "bytes", "chunks", "artifact", "signed by", "problem")


def list_(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Only this model.")] = "",
    keyring: KeyringOption = None,
    registry: RegistryOption = "",
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """List models and versions; one that cannot be used stands there with the reason."""
    from toolkit.registry.keys import read_keyring
    from toolkit.registry.list import list_models

    trusted = read_keyring(keyring) if keyring is not None else None
    store = open_registry(registry, files, assignments)
    lines = list_models(store, name=name, keyring=trusted)
    rows = [
        (line.name, line.version, line.counter, line.total_bytes, line.chunks, line.artifact[:12],
         " ".join(line.signed_by), line.problem)
        for line in lines
    ]  # fmt: skip
    show(lines, Table(COLUMNS, rows), output, as_json=as_json)
