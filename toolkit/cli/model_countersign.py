"""`tiers model countersign FOLDER`: let other devices run a plan that one of them has built."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.model_push import KeyOption
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show
from toolkit.cli.registry import RegistryOption, open_registry
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def countersign(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What a builder has sent.")],
    key: KeyOption,
    keyring: Annotated[Path, typer.Option("--keyring", help="Whose builders and whose registry we trust.")],
    registry: RegistryOption = "",
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Check a plan, its builder's seal and golden result, and seal it for all machines that are alike."""
    from toolkit.registry.countersign import countersign as countersign_plan
    from toolkit.registry.keys import read_key, read_keyring

    trusted, private = read_keyring(keyring), read_key(key)
    done = countersign_plan(open_registry(registry, files, assignments), folder, trusted, private)
    value = asdict(done)
    rows = [(name.replace("_", " "), each) for name, each in value.items() if name not in {"name", "version"}]
    show(value, Table(("plan of", f"{done.name}@{done.version}"), rows), output, as_json=as_json)
