"""The options of `tiers backup` alone."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

NO_FILES: list[Path] = []


class Distant(str, Enum):
    """What of a site has to be reached to be saved, and may be left out."""

    BROKER = "broker"
    REVISIONS = "revisions"
    STORAGES = "storages"


ALL_OF_IT: list[Distant] = []
ToArgument = Annotated[str, typer.Argument(metavar="TO", help="URL, folder, or a tier with packs.")]
AddOption = Annotated[
    list[Path], typer.Option("--add", metavar="FILE", help="Save this file too: a keyring, a register.")
]
KeysOption = Annotated[
    list[Path], typer.Option("--with-key", metavar="FILE", help="Save this private key, wrapped.")
]
WrapOption = Annotated[
    Path | None, typer.Option("--wrap-with", metavar="KEYFILE", help="What private keys are wrapped with.")
]
KeepOption = Annotated[int, typer.Option("--keep", min=0, metavar="N", help="Keep the last N; 0 keeps all.")]
ReadableOption = Annotated[
    bool, typer.Option("--readable", help="Do not encrypt, although it leaves this machine.")
]
WithoutOption = Annotated[
    list[Distant], typer.Option("--without", help="Leave this out; the backup says so.", show_default=False)
]
DrillOption = Annotated[
    bool,
    typer.Option("--drill", help="Save nothing: read all of the last backup and say what would come back."),
]
