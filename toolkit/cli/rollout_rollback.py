"""`tiers rollout rollback NAME`: take a version back; with --wait, see it gone."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.broker import BrokerOption, KeyOption, KeyringOption
from toolkit.cli.present import JsonOption, Output, OutputOption, show
from toolkit.cli.rollout_change import ChangeOptions, change_rollout
from toolkit.cli.rollout_report import NameArgument, TimeoutOption, seconds_of, table_of
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def rollback(
    name: NameArgument,
    key: KeyOption,
    keyring: KeyringOption = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    broker: BrokerOption = "",
    wait: Annotated[bool, typer.Option("--wait", help="Stay until no device serves it.")] = False,
    timeout: TimeoutOption = "10m",
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Take the version back: every device gets the one before."""
    options = ChangeOptions(key, keyring, files, assignments, broker)
    result = change_rollout(name, "rollback", options, wait=timeout if wait else "")
    show(result, table_of([result.status]), output, as_json=as_json)
    if wait:
        result.check(seconds_of(timeout), rolled_back=True)
