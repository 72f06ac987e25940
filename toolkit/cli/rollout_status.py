"""`tiers rollout status [NAME]`: where rollouts stand, by what the devices report now."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.broker import BrokerOption, ReadKeyringOption, open_site
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show
from toolkit.cli.rollout_report import table_of
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def status(
    name: Annotated[str, typer.Argument(help="Name of a rollout.", show_default="all")] = "",
    keyring: ReadKeyringOption = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    broker: BrokerOption = "",
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Show each rollout's state, wave and counts; with a name, also who refused and who has not answered."""
    from toolkit.fleet.rollout import find
    from toolkit.fleet.status import rollout_row, rollout_rows
    from toolkit.registry.keys import read_keyring
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    with open_site(topology, broker, read_keyring(keyring) if keyring else None) as watch:
        rows = [rollout_row(watch.retained, find(watch, name))] if name else rollout_rows(watch.retained)
    show(rows[0] if name else {"rollouts": rows}, table_of(rows), output, as_json=as_json)
    if not name or as_json or output is not Output.TABLE:
        return
    answers = [(each.device, each.state, each.code, each.reason) for each in rows[0].refusals]
    waiting = [
        (each, "not told yet" if each in rows[0].untold else "waiting", "", "") for each in rows[0].missing
    ]
    if answers or waiting:
        show(None, Table(("device", "state", "code", "reason"), [*answers, *waiting]), output)
