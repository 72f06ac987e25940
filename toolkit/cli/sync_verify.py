"""`tiers sync verify ROUTE`: read back what a route has brought to its targets; exit code 6 for damage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

_ToOption = Annotated[
    Path | None,
    typer.Option("--to-dir", metavar="DIR", help="Take DIR for the target's storage, as in a trial run."),
]


def verify(
    route: Annotated[str, typer.Argument(help="Name of a route in tiers.yaml.")],
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    to_dir: _ToOption = None,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Read a route's data again at its targets and name every file that is not what was written."""
    from toolkit.cli.sync_report import amount
    from toolkit.routes import sync_task
    from toolkit.sync.task import with_folders
    from toolkit.sync.verify import verify_target
    from toolkit.topology.load import load

    task = with_folders(sync_task(load(files, variables_of(assignments)).topology, route), target=to_dir)
    results = [verify_target(task, place) for place in task.targets]
    rows = [(each.url, each.files, amount(each.total_bytes), len(each.damage)) for each in results]
    show(results, Table(("target", "files", "bytes", "damaged"), rows), output, as_json=as_json)
    for each in results:
        for damage in each.damage:
            say(f"damaged: {damage.what}: {damage.reason}")
    if code := max(each.exit_code for each in results):
        raise typer.Exit(code)
