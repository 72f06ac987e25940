"""`tiers sync gc [TIER|registry|URL]...`: delete what no Ref needs any more, and states that are too many."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, YesOption, confirm, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of
from toolkit.cli.stores import StoresArgument


def gc(  # each parameter is an option of the command
    stores: StoresArgument = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    grace: Annotated[
        str, typer.Option("--grace", metavar="TIME", help="Delete what was seen unused so long ago.")
    ] = "24h",
    keep_last: Annotated[int, typer.Option(min=0, metavar="N", help="States of each route that stay.")] = 0,
    keep_daily: Annotated[int, typer.Option(min=0, metavar="N", help="One state a day, for N days.")] = 0,
    keep_weekly: Annotated[int, typer.Option(min=0, metavar="N", help="One a week.")] = 0,
    keep_monthly: Annotated[int, typer.Option(min=0, metavar="N", help="One a month.")] = 0,
    keep_yearly: Annotated[int, typer.Option(min=0, metavar="N", help="One a year.")] = 0,
    keep_within: Annotated[
        str, typer.Option("--keep-within", metavar="TIME", help="All of the last TIME before the newest.")
    ] = "",
    repack: Annotated[
        str, typer.Option("--repack", metavar="SHARE", help="Rewrite packs of which less is needed.")
    ] = "50%",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; change nothing.")] = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Collect garbage in packs: what no Ref needs is marked, and deleted by a later run.

    It may run at any time, beside anything else. Without --keep-… all states of all routes stay.
    """
    from toolkit.cli.gc_report import report_gc, rules_for, summary
    from toolkit.cli.logins import paced_remotes_of
    from toolkit.cli.stores import stores_of
    from toolkit.sync.gc import collect
    from toolkit.sync.layouts.packs import PackStore
    from toolkit.topology.load import load

    counts = (keep_last, keep_daily, keep_weekly, keep_monthly, keep_yearly)
    rules = rules_for(grace, counts, keep_within, repack)
    topology = load(files, variables_of(assignments)).topology
    places = stores_of(topology, stores)
    if rules.keep and not dry_run:
        confirm(f"forget older states of all routes in {', '.join(place.url for place in places)}?", yes=yes)
    opened = paced_remotes_of(topology)
    done = [collect(PackStore(opened(place)), rules, dry_run=dry_run) for place in places]
    show(done, summary(done), output, as_json=as_json)
    report_gc(done)
