"""`tiers sync run ROUTE`: move what the target of a route lacks, now and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

_RouteArgument = Annotated[str, typer.Argument(help="Name of a route in tiers.yaml.")]
_FromOption = Annotated[
    Path | None,
    typer.Option("--from-dir", metavar="DIR", help="Take DIR for the source's storage, to try a route."),
]
_ToOption = Annotated[
    Path | None,
    typer.Option("--to-dir", metavar="DIR", help="Take DIR for the target's storage, to try a route."),
]
_DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would move; change nothing.")]
_MaxDeleteOption = Annotated[
    int | None,
    typer.Option(
        "--max-delete", min=0, metavar="N", help="Most files to delete in a target [default: half]."
    ),
]

_CheckOption = Annotated[
    bool,
    typer.Option("--check", help="Read what the target has, whatever its times say; mends rotten files."),
]


def run(
    route: _RouteArgument,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    from_dir: _FromOption = None,
    to_dir: _ToOption = None,
    dry_run: _DryRunOption = False,
    max_delete: _MaxDeleteOption = None,
    check: _CheckOption = False,
    as_json: JsonOption = False,
) -> None:
    """Move changed data along a route: only missing chunks, compressed and verified. Run it again to go on."""
    from toolkit.cli.logins import remotes_of
    from toolkit.cli.sync_report import report_run, summary, watching
    from toolkit.routes import sync_task
    from toolkit.sync.run import run_task
    from toolkit.sync.task import with_folders
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    planned = sync_task(topology, route)
    task = with_folders(planned, from_dir, to_dir)
    with watching(route) as listen:
        result = run_task(
            task,
            listen=listen,
            dry_run=dry_run,
            max_delete=max_delete,
            check=check,
            remotes=remotes_of(topology),
        )
    show(result, summary(result), Output.TABLE, as_json=as_json)
    report_run(result)
    if result.exit_code:
        raise typer.Exit(result.exit_code)
