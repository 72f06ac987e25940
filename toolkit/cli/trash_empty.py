"""`tiers trash empty`: delete for good what lies in the trash."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, YesOption, confirm, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of
from toolkit.cli.trash_list import PlacesOption


def empty(
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    places: PlacesOption = None,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="Only what has been there so long.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; change nothing.")] = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Delete what lies in the trash, today's too, but nothing that is held; packs shrink with the next `sync gc`."""
    import time

    from toolkit.cli.author import user_here
    from toolkit.cli.lifecycle_report import report_trash, trash_table
    from toolkit.cli.logins import remotes_of
    from toolkit.cli.sync_report import amount, seconds_of
    from toolkit.policies import policy_of
    from toolkit.sync.policies.trash import AT_ONCE
    from toolkit.sync.policies.trash_can import empty as make_empty
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    policy, remotes = policy_of(topology), remotes_of(topology)
    seconds = seconds_of("--older-than", older_than) if older_than else AT_ONCE
    if not dry_run:
        confirm(f"delete what is in the trash of {' and '.join(places or ('all tiers',))} for good?", yes=yes)
    gone = make_empty(
        policy,
        who=user_here(),
        now_ms=time.time_ns() // 1_000_000,
        trash_seconds=seconds,
        places=places or (),
        dry_run=dry_run,
        remotes=remotes,
    )
    show(gone, trash_table(gone), output, as_json=as_json)
    report_trash(gone)
    total = amount(sum(each.size for each in gone.found))
    say(f"{'would delete' if dry_run else 'deleted'} {len(gone.found)} files, {total}")
    if gone.exit_code:
        raise typer.Exit(gone.exit_code)
