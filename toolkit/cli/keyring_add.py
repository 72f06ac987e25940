"""`tiers keyring add KEYRING KEY`: trust one key more, beside those that are trusted; the first half of a rotation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.keyring_report import NEXT, KeyringArgument, show_keyring
from toolkit.cli.present import JsonOption, Output, OutputOption, say


def add(
    file: KeyringArgument,
    key: Annotated[Path, typer.Argument(metavar="KEY", help="Private key, PEM; made if it is not there.")],
    roles: Annotated[
        list[str], typer.Option("--role", help="registry, operator or builder; may be repeated.")
    ],
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Let a key sign too. The old key goes on counting until it is retired. Repeating it changes nothing."""
    from toolkit.registry.rotate import add_key

    keyring = add_key(file, key, roles)
    show_keyring(keyring, output, as_json=as_json)
    say(NEXT)
