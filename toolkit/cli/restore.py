"""`tiers restore FROM --into FOLDER`: bring a site back from a backup, a plan first."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.backup_place import EndpointOption, KeyFileOption, LoginOption, open_shelf
from toolkit.cli.broker import BrokerOption
from toolkit.cli.present import JsonOption, Output, OutputOption, YesOption, confirm, say, show


class WhenThere(str, Enum):
    """What happens with what is there otherwise."""

    REFUSE = "refuse"
    KEEP = "keep"
    REPLACE = "replace"


_FromArgument = Annotated[str, typer.Argument(metavar="FROM", help="URL or folder that the backup lies in.")]
_IntoOption = Annotated[Path, typer.Option("--into", metavar="FOLDER", help="Where files of the site go.")]
_SiteOption = Annotated[str, typer.Option("--site", help="Whose backup, when several lie there.")]
_AtOption = Annotated[int, typer.Option("--at", metavar="N", min=0, help="Which backup; 0 is the newest.")]
_RegistryOption = Annotated[
    str, typer.Option("--registry", metavar="URL", help="Where the registry goes [default: where it was].")
]
_UnwrapOption = Annotated[
    Path | None, typer.Option("--unwrap-with", metavar="KEYFILE", help="What private keys were wrapped with.")
]
_WhenOption = Annotated[
    WhenThere, typer.Option("--when-there", help="For what is there and newer, or differs.")
]
_DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be written.")]


def restore(  # each parameter is an option of the command
    source: _FromArgument,
    into: _IntoOption = Path(),
    site: _SiteOption = "",
    at: _AtOption = 0,
    registry: _RegistryOption = "",
    broker: BrokerOption = "",
    key_file: KeyFileOption = None,
    credentials: LoginOption = None,
    endpoint: EndpointOption = "",
    unwrap_with: _UnwrapOption = None,
    when_there: _WhenOption = WhenThere.REFUSE,
    dry_run: _DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Write what is missing, refuse to go back behind what is newer; what the broker kept goes to --broker URL."""
    from toolkit.backup.shelf import open_saved
    from toolkit.cli.backup_report import plan_table
    from toolkit.cli.restore_site import Restoring

    saved = open_saved(
        open_shelf(source, None, key_file=key_file, login=credentials, endpoint=endpoint), site, at
    )
    with Restoring(saved, into, registry, broker, unwrap_with) as restoring:
        show(*plan_table(restoring.plan), output, as_json=as_json)
        if dry_run:
            return
        if restoring.writes(when_there.value):
            confirm(f"bring {saved.name} back into {into.absolute()}?", yes=yes)
        done = restoring.carry_out(when_there.value)
    say(f"restored {len(done.written)} files of {saved.name}; next: tiers validate, tiers model list")
    for topic in done.not_taken:
        say(f"the broker did not take {topic}; devices say theirs again by themselves")
