"""`tiers sync lifecycle`: do to data what the rules of tiers.yaml say, or say what that would be."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, YesOption, confirm, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def lifecycle(
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")
    ] = False,
    explain: Annotated[
        str, typer.Option("--explain", metavar="PATH", help="Say what happens to one file, and why.")
    ] = "",
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Carry out the rules under `lifecycle:` once: copies are read back before anything leaves its storage."""
    import time

    from toolkit.cli.author import user_here
    from toolkit.cli.lifecycle_report import (
        explain_table,
        outlook_table,
        outlook_value,
        report_done,
        report_outlook,
    )
    from toolkit.cli.logins import paced_remotes_of
    from toolkit.cli.sync_report import watching
    from toolkit.policies import policy_of
    from toolkit.sync.policies.carry_out import carry_out
    from toolkit.sync.policies.plan import explain_path, make_plan
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    policy, remotes, now_ms = policy_of(topology), paced_remotes_of(topology), time.time_ns() // 1_000_000
    outlook = make_plan(policy, now_ms, remotes=remotes)
    if explain:
        explained = explain_path(policy, outlook, os.fsencode(explain.strip("/")))
        show(explained, explain_table(explained), output, as_json=as_json)
        raise typer.Exit(0 if explained else 1)
    if dry_run:
        show(outlook_value(outlook), outlook_table(outlook), output, as_json=as_json)
        report_outlook(outlook)
        raise typer.Exit(max((look.exit_code for look in outlook.found.unreachable), default=0))
    report_outlook(outlook)
    if outlook.lines:
        confirm(f"do this to {sum(line.objects for line in outlook.lines)} files?", yes=yes)
    with watching("lifecycle") as listen:
        done = carry_out(policy, outlook, who=user_here(), now_ms=now_ms, listen=listen, remotes=remotes)
    show(done, outlook_table(outlook), output, as_json=as_json)
    report_done(done)
    if done.exit_code:
        raise typer.Exit(done.exit_code)
