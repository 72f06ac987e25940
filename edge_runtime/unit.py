"""The systemd unit of the daemon, filled in for this machine: what `tiers-edge unit` prints.

The text lies beside this file as `tiers-edge.service` and says why each line is there. Filled in are the program, its
configuration, the user, the groups of the GPU that this machine has, and the exit codes after which a new start is of
no use (`toolkit.errors`).
"""

from __future__ import annotations

import grp
from importlib.resources import files
from pathlib import Path
from typing import Final

from toolkit.errors import IntegrityError, UsageError

GPU_GROUPS: Final = ("video", "render")
"""Whose members may open the nodes of a GPU; older systems lack the second."""
HOPELESS: Final = (UsageError, IntegrityError)
"""What stays as it is until somebody mends a command, a package or a file."""
_SPECIAL: Final = frozenset(" \t\n%\"'\\$@")
"""Characters that systemd, or the filling in, takes for something else."""


def unit_text(program: Path, config: Path, user: str) -> str:
    """Write the unit.

    Args:
        program: the command `tiers-edge`.
        config: the device's configuration.
        user: whom it runs as; a group of that name is expected too.

    Raises:
        UsageError: something cannot stand in a unit.
    """
    given = {"PROGRAM": str(program.absolute()), "CONFIG": str(config.absolute()), "USER": user}
    for value in given.values():
        if not value or set(value) & _SPECIAL:
            raise UsageError(
                f"{value!r} cannot stand in a unit", hint="take a path without blanks and quotes"
            )
    found = {
        "GROUPS": " ".join(name for name in GPU_GROUPS if _is_group(name)),
        "CONFIGURATION": " ".join(str(each.exit_code) for each in HOPELESS),
    }
    text = files("edge_runtime").joinpath("tiers-edge.service").read_text(encoding="utf-8")
    for name, value in (given | found).items():
        text = text.replace(f"@{name}@", value)
    return text


def _is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True
