"""`tiers init`: a first tiers.yaml with comments, and the schema that editors read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.present import say

HERE = Path()


def init(
    folder: Annotated[Path, typer.Argument(help="Where to write it.", show_default="this folder")] = HERE,
) -> None:
    """Write a small valid tiers.yaml with comments; one that is there already stays."""
    from toolkit.topology.start import write_start

    for file in write_start(folder):
        print(file)
    say("next: fill in names and addresses, then: tiers validate")
