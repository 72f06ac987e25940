"""`tiers rollout approve NAME`: let the wave begin that waits for an operator's word."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.broker import BrokerOption, KeyOption, KeyringOption, open_site
from toolkit.cli.present import JsonOption, Output, OutputOption, show
from toolkit.cli.rollout_report import NameArgument, answer, table_of, trust
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def approve(
    name: NameArgument,
    key: KeyOption,
    keyring: KeyringOption = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    broker: BrokerOption = "",
    wave: Annotated[
        int | None,
        typer.Option("--wave", min=1, help="A wave further on, in advance.", show_default="the next"),
    ] = None,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Let the next wave begin, where tiers.yaml says `approve: true` of it."""
    from toolkit.fleet.rollout import approve as approve_wave
    from toolkit.registry.keys import read_key
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    private = read_key(key)
    with open_site(topology, broker, trust(private, keyring)) as watch:
        result = answer(watch, approve_wave(watch, private, name, wave or 0))
    show(result, table_of([result.status]), output, as_json=as_json)
