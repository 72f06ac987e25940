"""What `--to` means: an environment is tiers.yaml with one more file on top, tiers.ENVIRONMENT.yaml beside it.

`production` is tiers.yaml itself and needs no such file; when there is one, it is laid on top as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from toolkit.errors import UsageError

PRODUCTION = "production"
ToOption = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="ENVIRONMENT",
        help="production is the site of tiers.yaml; others are tiers.ENVIRONMENT.yaml on top of it.",
    ),
]


def files_for(environment: str, files: Sequence[Path]) -> list[Path]:
    """Give the files of an environment: those of -f, then its own, beside the first of them.

    Raises:
        UsageError: the environment has no file, or its name is no plain word.
    """
    if not environment or not environment.replace("-", "").isalnum():
        raise UsageError(f"--to {environment[:80]!r} is no name of an environment", hint="--to production")
    own = files[0].with_name(f"{files[0].stem}.{environment}{files[0].suffix}")
    if own.exists():
        return [*files, own]
    if environment == PRODUCTION:
        return list(files)
    raise UsageError(
        f"there is no environment {environment}: {own} is not there",
        hint=f"write into {own} what is different there, such as name, broker and registry, or say --to production",
    )
