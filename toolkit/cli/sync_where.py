"""`tiers sync where PATH`: in which tiers and storages something is."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def where(
    path: Annotated[
        str, typer.Argument(help="A file or folder below the storages: studies/2031/p7 [default: all].")
    ] = "",
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Look at everything, and write it into the catalogue first.")
    ] = False,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Say where something is, which version, verified, read, held and pinned when and by whom."""
    import time

    from toolkit.cli.lifecycle_report import report_where, where_table
    from toolkit.cli.logins import remotes_of
    from toolkit.policies import policy_of
    from toolkit.sync.policies.where import remember
    from toolkit.sync.policies.where import where as find
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    policy, remotes, now_ms = policy_of(topology), remotes_of(topology), time.time_ns() // 1_000_000
    if refresh:
        for error in remember(policy, now_ms, remotes=remotes)[1]:
            say(f"the catalogue cannot be written: {error.message}")
    found = find(policy, os.fsencode(path.strip("/")), now_ms, remotes=remotes)
    show(found, where_table(found), output, as_json=as_json)
    report_where(found)
    if found.exit_code:
        raise typer.Exit(found.exit_code)
