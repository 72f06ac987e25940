"""`tiers sync status`: what the targets of routes hold."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def status(
    routes: Annotated[
        list[str] | None, typer.Argument(help="Names of routes [default: all of them].", show_default=False)
    ] = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Show what each route has brought where, and when it last brought something. What is missing: tiers sync plan."""
    from toolkit.cli.logins import remotes_of
    from toolkit.cli.sync_report import amount
    from toolkit.routes import sync_task
    from toolkit.sync.status import states_of
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    remotes = remotes_of(topology)
    found = [
        row
        for name in routes or sorted(topology.routes)
        for row in states_of(sync_task(topology, name), remotes)
    ]
    rows = [
        (
            f"{each.route} {each.origin}".strip(),
            each.source,
            each.url,
            each.files,
            amount(each.total_bytes),
            each.sequence,
            _when(each.written_ms) if each.written_ms else ("unknown" if each.error else "nothing yet"),
        )
        for each in found
    ]
    columns = ("route", "from", "target", "files", "size", "states", "last change")
    show(found, Table(columns, rows), output, as_json=as_json)
    for each in found:
        if each.error:
            say(f"error: {each.error}")
    if any(each.exit_code for each in found):
        raise typer.Exit(1)


def _when(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, timezone.utc):%Y-%m-%d %H:%M} UTC"
