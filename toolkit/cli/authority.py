"""The options that name a site's authority, and how its certificates are shown; for every command of `device`."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

AuthorityOption = Annotated[
    Path, typer.Option("--authority", metavar="FOLDER", help="Folder of the site's authority.")
]
DEFAULT_AUTHORITY = Path("authority")


def day_of(seconds: int) -> str:
    """Write Unix seconds as a day, UTC."""
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d}"


def utc_now() -> datetime:
    """Read the clock."""
    return datetime.now(timezone.utc)
