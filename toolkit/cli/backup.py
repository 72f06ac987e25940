"""`tiers backup TO`: save what a site cannot make again; with --drill, prove that the last one reads."""

from __future__ import annotations

from toolkit.cli.backup_options import (
    ALL_OF_IT,
    NO_FILES,
    AddOption,
    DrillOption,
    KeepOption,
    KeysOption,
    ReadableOption,
    ToArgument,
    WithoutOption,
    WrapOption,
)  # fmt: skip
from toolkit.cli.backup_place import EndpointOption, KeyFileOption, LoginOption, open_shelf
from toolkit.cli.broker import BrokerOption
from toolkit.cli.clusters import KubeconfigOption
from toolkit.cli.present import JsonOption, Output, OutputOption, say, show
from toolkit.cli.registry import RegistryOption
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def backup(  # each parameter is an option of the command
    to: ToArgument,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    add: AddOption = NO_FILES,
    with_key: KeysOption = NO_FILES,
    wrap_with: WrapOption = None,
    registry: RegistryOption = "",
    broker: BrokerOption = "",
    kubeconfig: KubeconfigOption = None,
    key_file: KeyFileOption = None,
    credentials: LoginOption = None,
    endpoint: EndpointOption = "",
    readable: ReadableOption = False,
    without: WithoutOption = ALL_OF_IT,
    keep: KeepOption = 0,
    drill: DrillOption = False,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Save registry, files, rollouts, revisions and what storages know, in packs; only what changed is stored."""
    from toolkit.cli.backup_report import drill_row, taken_row
    from toolkit.cli.backup_site import check_last, save_site
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    store = open_shelf(
        to, topology, key_file=key_file, login=credentials, endpoint=endpoint, readable=readable
    )
    if drill:
        value, table = drill_row(*check_last(store, topology.name))
    else:
        keys, left_out = (with_key, wrap_with), {part.value for part in without}
        value, table = taken_row(
            save_site(topology, store, files, add, keys, registry, broker, kubeconfig, left_out, keep)
        )
    show(value, table, output, as_json=as_json)
    if not drill:
        say(f"next: tiers backup {to} --drill reads all of it again; keys are not in it, keep them elsewhere")
