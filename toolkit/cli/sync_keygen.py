"""`tiers sync keygen FILE`: the key that a storage is encrypted with before anything leaves, or one more of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show

_FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; must not be there yet.")]
_AddOption = Annotated[
    bool,
    typer.Option("--add", help="Rotate: put a new key into a file that is there; old ones go on reading."),
]


def keygen(
    file: _FileArgument,
    add: _AddOption = False,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Make the key of an encrypted storage. Keep a copy where the data are not: a lost key is lost data."""
    from toolkit.sync.key_file import add_key, make_key_file

    keys = add_key(file) if add else make_key_file(file)
    last = len(keys.keys) - 1
    rows = [
        (
            str(file),
            key.key_id,
            "encrypts what is written now" if number == last else "reads what was written before",
        )
        for number, key in enumerate(keys.keys)
    ]
    value = [dict(zip(("file", "key", "use"), row, strict=True)) for row in rows]
    show(value, Table(("file", "key", "use"), rows), output, as_json=as_json)
