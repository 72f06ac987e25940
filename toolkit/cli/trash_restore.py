"""`tiers trash restore PATH`: take back what the rules have deleted."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of
from toolkit.cli.trash_list import PlacesOption


def restore(
    path: Annotated[str, typer.Argument(help="A file or folder below the storages: studies/2031/p7.")],
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    places: PlacesOption = None,
    day: Annotated[
        str, typer.Option("--day", metavar="YYYY-MM-DD", help="What went in then [default: the last].")
    ] = "",
    keep: Annotated[str, typer.Option("--keep", metavar="TIME", help="Rules leave it for so long.")] = "7d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would come back.")] = False,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Put a path back where it was, of each file what went into the trash last; nothing is overwritten."""
    import time

    from toolkit.cli.author import user_here
    from toolkit.cli.lifecycle_report import report_restored, restored_table
    from toolkit.cli.logins import remotes_of
    from toolkit.cli.sync_report import until
    from toolkit.policies import policy_of
    from toolkit.sync.policies.trash_can import Wanted
    from toolkit.sync.policies.trash_can import restore as put_back
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    done = put_back(
        policy_of(topology),
        Wanted(os.fsencode(path.strip("/")), day, tuple(places or ())),
        who=user_here(),
        now_ms=time.time_ns() // 1_000_000,
        keep_until_ms=until(keep),
        dry_run=dry_run,
        remotes=remotes_of(topology),
    )
    show(done, restored_table(done), output, as_json=as_json)
    report_restored(done)
    if done.exit_code:
        raise typer.Exit(done.exit_code)
