"""Who applies, for the history: the user of this machine, and the git commit that tiers.yaml is of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.cluster.history import Author

_SECONDS = 5.0


def author_of(file: Path, rollback_of: int = 0) -> Author:
    """Name who types the command; a commit that was edited since ends in a plus sign."""
    from toolkit.cluster.history import Author

    return Author(user_here(), commit_of(file), rollback_of)


def user_here() -> str:
    """Name who types the command, as USER@MACHINE."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container with a user id that has no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def commit_of(file: Path) -> str:
    """Give the commit that a file is of; empty when it is in no repository, or git is not here."""
    commit = _git(file, "rev-parse", "--short=12", "HEAD")
    if not commit or _git(file, "ls-files", "--", file.name) == "":
        return ""
    return commit + ("+" if _git(file, "status", "--porcelain", "--", file.name) else "")


def _git(file: Path, *arguments: str) -> str:
    import subprocess

    command = ["git", "-C", str(file.resolve().parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
