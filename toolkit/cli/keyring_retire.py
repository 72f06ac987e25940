"""`tiers keyring retire KEYRING KEY`: trust a key no longer; the second half of a rotation."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.keyring_report import NEXT, KeyringArgument, show_keyring
from toolkit.cli.present import JsonOption, Output, OutputOption, say


def retire(
    file: KeyringArgument,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id (tiers keyring show), or its name.")],
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Take a key out. What devices have installed goes on serving; what this key sealed is obeyed no longer."""
    from toolkit.registry.rotate import retire_key

    keyring = retire_key(file, key)
    show_keyring(keyring, output, as_json=as_json)
    say(NEXT)
