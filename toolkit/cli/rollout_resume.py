"""`tiers rollout resume NAME`: go on with a paused rollout."""

from __future__ import annotations

from toolkit.cli.broker import BrokerOption, KeyOption, KeyringOption
from toolkit.cli.present import JsonOption, Output, OutputOption, show
from toolkit.cli.rollout_change import ChangeOptions, change_rollout
from toolkit.cli.rollout_report import NameArgument, table_of
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def resume(
    name: NameArgument,
    key: KeyOption,
    keyring: KeyringOption = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    broker: BrokerOption = "",
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Go on with a rollout that was paused."""
    options = ChangeOptions(key, keyring, files, assignments, broker)
    result = change_rollout(name, "resume", options)
    show(result, table_of([result.status]), output, as_json=as_json)
