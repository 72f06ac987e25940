"""`tiers sync plan`: what every route would move now; changes nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def plan(
    routes: Annotated[
        list[str] | None, typer.Argument(help="Names of routes [default: all of them].", show_default=False)
    ] = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Look at both ends of each route and say what is missing, how much would move and how long its limit makes it."""
    from toolkit.cli.logins import remotes_of
    from toolkit.cli.sync_report import plan_rows
    from toolkit.routes import sync_task
    from toolkit.sync.status import look_ahead
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    tasks = [sync_task(topology, name) for name in routes or sorted(topology.routes)]
    remotes = remotes_of(topology)
    found = [look_ahead(task, remotes) for task in tasks]
    rows = [row for task, each in zip(tasks, found, strict=True) for row in plan_rows(task, each.result)]
    columns = ("route", "target", "files", "would move", "deletes", "takes", "state")
    show(found, Table(columns, rows), output, as_json=as_json)
    for each in found:
        if each.error:
            say(f"{each.route}: error: {each.error}")
    if any(each.exit_code for each in found):
        raise typer.Exit(1)
