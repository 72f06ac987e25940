"""Read a file with a login. Refused when others may read it; never shown, not in an error either.

`remotes.choose` reads logins of storages through it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from toolkit.errors import UsageError
from toolkit.sync.key_file import open_to_others

_MOST_BYTES = 64 * 1024


def read_secret(path: str, *, what: str) -> bytes:
    """Give the bytes of a file with a secret.

    Args:
        path: where it is.
        what: what it is, for the error.

    Raises:
        UsageError: it is missing, no plain file, larger than 64 KiB, or open to others.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UsageError(f"{what} {path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _MOST_BYTES:
            raise UsageError(
                f"{what} {path} is no plain file of at most {_MOST_BYTES} bytes", hint=f"ls -l {path}"
            )
        _check_mode(path, facts, what=what)
        return file.read(_MOST_BYTES)


def check_secret(path: str, *, what: str) -> str:
    """Return the path of a file with a secret that another program reads (ssh), if nobody else may.

    Raises:
        UsageError: it is missing, or open to others.
    """
    try:
        facts = Path(path).stat()
    except OSError as error:
        raise UsageError(f"{what} {path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
    _check_mode(path, facts, what=what)
    return path


def _check_mode(path: str, facts: os.stat_result, *, what: str) -> None:
    if open_to_others(facts.st_mode, owner=facts.st_uid, user=os.geteuid()):
        raise UsageError(
            f"{what} {path} can be read by others (mode {stat.S_IMODE(facts.st_mode):04o})",
            hint=f"chmod 600 {path}",
        )
