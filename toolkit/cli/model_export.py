"""`tiers model export NAME@VERSION --to DIR`: a version as files for a web server, the second road to devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show
from toolkit.cli.registry import RegistryOption, open_registry
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def export(
    model: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="What to write.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder that the web server shows.")],
    keyring: Annotated[Path, typer.Option("--keyring", help="Whose signatures count.")],
    registry: RegistryOption = "",
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Write a version's index and chunks for a web server or CDN, which devices ask for ranges."""
    from toolkit.errors import UsageError
    from toolkit.registry.export import export as write_out
    from toolkit.registry.keys import read_keyring

    name, at, version = model.partition("@")
    if not at:
        raise UsageError(f"{model} names no version", hint="write NAME@VERSION; tiers model list shows them")
    store = open_registry(registry, files, assignments)
    made = write_out(store, name, version, read_keyring(keyring), to)
    table = Table(("model", "bytes", "folder"), [(made.label, made.size, made.folder)])
    show(made, table, output, as_json=as_json)
