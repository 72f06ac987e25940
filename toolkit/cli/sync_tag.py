"""`tiers sync tag PATH KEY=VALUE`: tags that rules go by."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def tag(
    path: Annotated[str, typer.Argument(help="A file or folder below the storages: studies/2031/p7.")],
    tags: Annotated[
        list[str] | None, typer.Argument(help="KEY=VALUE, or KEY= to take one away.", show_default=False)
    ] = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Give tags to a path, and show those that it has. They hold for all that lies below it."""
    from toolkit.cli.logins import remotes_of
    from toolkit.errors import UsageError
    from toolkit.policies import policy_of
    from toolkit.sync.policies.keeping import tag_everywhere
    from toolkit.topology.load import load

    changes: dict[str, str | None] = {}
    for each in tags or []:
        key, sign, value = each.partition("=")
        if not sign or not key:
            raise UsageError(f"{each} is not KEY=VALUE", hint=f"tiers sync tag {path} court=yes")
        changes[key] = value or None
    topology = load(files, variables_of(assignments)).topology
    now = tag_everywhere(
        policy_of(topology), os.fsencode(path.strip("/")), changes, remotes=remotes_of(topology)
    )
    show(now, Table(("tag", "value"), sorted(now.items())), output, as_json=as_json)
