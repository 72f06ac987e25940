"""`tiers model withdraw-plan NAME@VERSION MACHINE`: let no further device run a plan that was countersigned."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show
from toolkit.cli.registry import RegistryOption, open_registry
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def withdraw_plan(
    model: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="A version of a model.")],
    machine: Annotated[
        str, typer.Argument(metavar="MACHINE", help="Their key, as `tiers model show` lists it.")
    ],
    registry: RegistryOption = "",
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Take a plan back: depots announce it no longer, and devices build. What a device has fetched it keeps."""
    from toolkit.errors import UsageError
    from toolkit.registry.countersign import withdraw

    name, at, version = model.partition("@")
    if not at:
        raise UsageError(f"{model!r} is not NAME@VERSION", hint=f"versions: tiers model list {name}")
    was_there = withdraw(open_registry(registry, files, assignments), name, version, machine)
    said = "taken back" if was_there else "there is none"
    value = {"name": name, "version": version, "machine": machine, "was_there": was_there}
    show(value, Table(("plan of", model), [("machines", machine), ("now", said)]), output, as_json=as_json)
