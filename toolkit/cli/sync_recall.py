"""`tiers sync recall PATH`: bring data back from a colder tier, and keep it for a while."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def recall(
    path: Annotated[str, typer.Argument(help="What to bring back, below the storages: studies/2031/p7.")],
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    to: Annotated[
        str | None, typer.Option("--to", metavar="TIER", help="Where to [default: where the route leads].")
    ] = None,
    keep: Annotated[str, typer.Option("--keep", metavar="TIME", help="Keep it there for so long.")] = "7d",
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Who asks, for those who see it.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would move; change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring back what routes with `trigger: demand` cover; the route that archives it leaves it alone meanwhile."""
    from toolkit.cli.logins import remotes_of
    from toolkit.cli.sync_report import recall_table as table
    from toolkit.cli.sync_report import report_run, until, watching
    from toolkit.routes import recall_tasks, recall_tier
    from toolkit.sync.recall import recall as bring
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    tasks, remotes = recall_tasks(topology, path), remotes_of(topology)
    with watching(path) as listen:
        result = bring(
            tasks,
            recall_tier(tasks, to),
            until_ms=until(keep),
            note=why,
            dry_run=dry_run,
            listen=listen,
            remotes=remotes,
        )
    show(result, table(result), Output.TABLE, as_json=as_json)
    for hop in result.hops:
        report_run(hop)
    if result.until_ms:
        say(f"kept in {result.tier} for {keep}; tiers sync where {path}")
    if result.exit_code:
        raise typer.Exit(result.exit_code)
