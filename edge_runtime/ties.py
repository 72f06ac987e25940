"""What passes between `activate` and `install`: how things ended, what must stay in memory, what is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from toolkit.errors import TiersError

Done = Callable[[str], None]
"""Gets an empty string when it worked, else the reason."""
Prepared = Callable[[str, str], None]
"""Gets two empty strings when it worked, else a code of the install table and the reason."""


@dataclass(frozen=True)
class Ties:
    """What the activator has to know of the installations, and to tell them. For the control thread."""

    keeps: Callable[[str], bool] = lambda _: False
    """Whether this model must stay in memory, because its version is on probation."""
    lost: Callable[[str, str, str], None] = lambda _model, _artifact, _reason: None
    """Told that an artifact which served, or was to on demand, does not load."""


def reason_of(error: BaseException) -> str:
    """Say for people what went wrong."""
    return error.message if isinstance(error, TiersError) else f"{type(error).__name__}: {error}"
