"""`tiers device revoke NAME…`: let devices in no longer."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.authority import DEFAULT_AUTHORITY, AuthorityOption, day_of, utc_now
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

NamesArgument = Annotated[list[str], typer.Argument(metavar="NAME...", help="Who was enrolled.")]


def revoke(
    names: NamesArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why, for people.")] = "",
    folder: AuthorityOption = DEFAULT_AUTHORITY,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Revoke all certificates of these names, and write the list that the broker reads."""
    from toolkit.fleet.authority import REVOKED_FILE
    from toolkit.fleet.enroll import revoke as revoke_all
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    found = revoke_all(topology, folder, names, reason, utc_now())
    rows = [(each.name, each.serial, day_of(each.revoked_at), each.reason) for each in found]
    show(found, Table(("name", "serial", "revoked", "reason"), rows), output, as_json=as_json)
    say(
        f"next: hand {folder / REVOKED_FILE} to the broker and restart it, which also ends connections that are open"
    )
