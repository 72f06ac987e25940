"""`tiers rollout status [NAME]`: where rollouts stand, by what the devices report now."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.broker import BrokerOption, ReadKeyringOption, open_site
from toolkit.cli.present import JsonOption, Output, OutputOption, show
from toolkit.cli.rollout_details import details_of, only
from toolkit.cli.rollout_report import table_of
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def status(
    name: Annotated[str, typer.Argument(help="Name of a rollout.", show_default="all")] = "",
    device: Annotated[
        str, typer.Option("--device", help="Only this device's answer.", show_default="all")
    ] = "",
    everybody: Annotated[
        bool, typer.Option("--all", help="Devices that have it, too, not only those that have not.")
    ] = False,
    keyring: ReadKeyringOption = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    broker: BrokerOption = "",
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Show each rollout's state, wave and counts; with a name, also waves, gates, and every device's reason."""
    from toolkit.fleet.rollout import find, find_newest_of
    from toolkit.fleet.status import rollout_row, rollout_rows
    from toolkit.registry.keys import read_keyring
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    with open_site(topology, broker, read_keyring(keyring) if keyring else None) as watch:
        named = [find(watch, name)] if name else find_newest_of(watch, device) if device else []
        rows = [rollout_row(watch.retained, each) for each in named]
        rows = [only(row, device) for row in rows] if name or device else [*rollout_rows(watch.retained)]
    show(rows[0] if name else {"rollouts": rows}, table_of(rows), output, as_json=as_json)
    if as_json or output is not Output.TABLE:
        return
    for row in rows if name or device else ():
        for table in details_of(row, everybody=everybody or bool(device)):
            print()
            show(None, table, output)
