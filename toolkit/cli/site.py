"""The options that name a site: which files, and which values for their variables.

Every command that reads tiers.yaml takes these two; `variables_of` makes them fit `topology.load`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from toolkit.errors import UsageError

FilesOption = Annotated[
    list[Path],
    typer.Option(
        "--file", "-f", help="tiers.yaml; a second one is merged over the first.", show_default="tiers.yaml"
    ),
]
SetOption = Annotated[
    list[str],
    typer.Option("--set", metavar="NAME=VALUE", help="Value of a declared variable.", show_default=False),
]
DEFAULT_FILES = [Path("tiers.yaml")]
"""What is read when no file is named."""
NOTHING_SET: list[str] = []
"""No variable is given a value."""


def variables_of(assignments: Sequence[str]) -> dict[str, str]:
    """Take NAME=VALUE apart.

    Raises:
        UsageError: there is no = in it.
    """
    variables: dict[str, str] = {}
    for assignment in assignments:
        name, sign, value = assignment.partition("=")
        if not sign or not name:
            raise UsageError(f"--set {assignment} is not NAME=VALUE", hint="tiers validate --set NAME=VALUE")
        variables[name] = value
    return variables
