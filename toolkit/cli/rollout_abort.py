"""`tiers rollout abort NAME`:  nobody else gets the version, whoever has it keeps it.:Stop a rollout for good."""

from __future__ import annotations

from toolkit.cli.broker import BrokerOption, KeyOption, KeyringOption, open_site
from toolkit.cli.present import JsonOption, Output, OutputOption, show
from toolkit.cli.rollout_report import NameArgument, answer, table_of
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def abort(
    name: NameArgument,
    key: KeyOption,
    keyring: KeyringOption = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    broker: BrokerOption = "",
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Stop for good: nobody else gets the version; whoever has it keeps it."""
    from toolkit.cli.rollout_report import trust
    from toolkit.fleet.rollout import change
    from toolkit.registry.keys import read_key
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    private = read_key(key)
    with open_site(topology, broker, trust(private, keyring)) as watch:
        result = answer(watch, change(watch, private, name, "abort"))
    show(result, table_of([result.status]), output, as_json=as_json)
