"""The options about the lock that keeps two writers apart, and the claim made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from toolkit.cluster.lock import Claim

WaitForLockOption = Annotated[
    str,
    typer.Option(
        "--wait-for-lock",
        metavar="TIME",
        help="Wait so long for another writer, such as 2m.",
        show_default=False,
    ),
]
BreakLockOption = Annotated[
    bool, typer.Option("--break-lock", help="Take the lock from a writer that is known to be dead.")
]
NO_WAIT = ""
"""Another writer is a refusal."""


def claim_of(
    who: str, wait: str, *, break_lock: bool, command: str = "tiers apply", again: str = ""
) -> Claim:
    """Give the claim that the options make.

    Raises:
        UsageError: the time is none.
    """
    from toolkit.cluster.lock import Claim
    from toolkit.errors import UsageError
    from toolkit.topology.units import Duration

    try:
        seconds = Duration.parse(wait).seconds if wait else 0.0
    except ValueError as exc:
        raise UsageError(f"--wait-for-lock: {exc}", hint=f"{command} --wait-for-lock 2m") from exc
    return Claim(who, seconds, break_lock, command, again)
