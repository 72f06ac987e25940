"""`tiers model keygen FOLDER`: the first step of a new site, its two keys and its keyring."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write; made if missing.")]


def keygen(folder: FolderArgument, output: OutputOption = Output.TABLE, as_json: JsonOption = False) -> None:
    """Make a key that signs models, a key that signs rollouts, and the keyring that trusts both."""
    from toolkit.registry.keys import make_site_keys

    made = make_site_keys(folder)
    rows = [
        (str(made.registry.file), made.registry.key_id, "secret: signs models (tiers model push --key)"),
        (str(made.operator.file), made.operator.key_id, "secret: signs rollouts (tiers rollout start --key)"),
        (str(made.keyring_file), "", "public: goes to every device and depot (--keyring)"),
    ]
    value = [dict(zip(("file", "key", "use"), row, strict=True)) for row in rows]
    show(value, Table(("file", "key", "use"), rows), output, as_json=as_json)
