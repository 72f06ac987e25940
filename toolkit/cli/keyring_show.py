"""`tiers keyring show KEYRING`: whose seals count."""

from __future__ import annotations

from toolkit.cli.keyring_report import KeyringArgument, show_keyring
from toolkit.cli.present import JsonOption, Output, OutputOption


def show(file: KeyringArgument, output: OutputOption = Output.TABLE, as_json: JsonOption = False) -> None:
    """List the keys of a keyring and what each may sign."""
    from toolkit.registry.keys import read_keyring

    show_keyring(read_keyring(file), output, as_json=as_json)
