"""`tiers sync hold PATH`: a legal hold, which beats every rule, route and collection; and its release."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, YesOption, confirm, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def hold(
    path: Annotated[str, typer.Argument(help="A file or folder below the storages: studies/2031/p7.")],
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    reason: Annotated[str, typer.Option("--reason", help="Why, for those who meet the hold.")] = "",
    name: Annotated[str, typer.Option("--name", help="Name of the hold [default: made from the path].")] = "",
    release: Annotated[bool, typer.Option("--release", help="Take the hold away.")] = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Keep a path, and whatever comes below it, in every storage until the hold is released."""
    import time

    from toolkit.cli.author import user_here
    from toolkit.cli.logins import remotes_of
    from toolkit.errors import UsageError
    from toolkit.policies import policy_of
    from toolkit.sync.policies.keeping import hold_everywhere, release_everywhere
    from toolkit.topology.load import load

    if not release and not reason:
        raise UsageError("a hold needs a reason", hint=f"tiers sync hold {path} --reason 'case 7'")
    topology = load(files, variables_of(assignments)).topology
    policy, remotes, now_ms = policy_of(topology), remotes_of(topology), time.time_ns() // 1_000_000
    raw = path.strip("/").encode("utf-8", "surrogateescape")
    if release:
        confirm(f"release {path}, so that rules and routes may delete it?", yes=yes)
        results = release_everywhere(policy, raw, who=user_here(), name=name, now_ms=now_ms, remotes=remotes)
    else:
        results = hold_everywhere(
            policy, raw, who=user_here(), reason=reason, name=name, now_ms=now_ms, remotes=remotes
        )
    rows = [
        (each.tier, each.url, each.name, each.files, each.error or ("released" if release else "held"))
        for each in results
    ]
    show(results, Table(("tier", "storage", "hold", "files", "state"), rows), output, as_json=as_json)
    if not results:
        say(f"nothing holds {path} by itself; tiers sync where {path} says who holds it")
        raise typer.Exit(1)
    if code := max(each.exit_code for each in results):
        raise typer.Exit(code)
