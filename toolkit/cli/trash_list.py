"""`tiers trash list`: what the rules have taken away and can still be taken back."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

PlacesOption = Annotated[
    list[str] | None,
    typer.Option("--from", metavar="TIER|URL", help="Only this storage [default: all].", show_default=False),
]


def list_(
    path: Annotated[
        str, typer.Argument(help="A file or folder below the storages: studies/2031/p7 [default: all].")
    ] = "",
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    places: PlacesOption = None,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """List what lies in the trash of each storage, since when, and when it will be gone for good."""
    from toolkit.cli.lifecycle_report import report_trash, trash_table
    from toolkit.cli.logins import remotes_of
    from toolkit.policies import policy_of
    from toolkit.sync.policies.trash_can import list_trash
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    found = list_trash(
        policy_of(topology),
        below=os.fsencode(path.strip("/")),
        places=places or (),
        remotes=remotes_of(topology),
    )
    show(found, trash_table(found), output, as_json=as_json)
    report_trash(found)
    if not found.found and not found.errors:
        say(f"nothing{' of ' + path if path else ''} is in the trash")
    if found.exit_code:
        raise typer.Exit(found.exit_code)
