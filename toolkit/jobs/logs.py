"""Find what the workers of a local job wrote, by attempt and rank.

Flow: gang writes logs/attempt-N/rank-R.log -> `logs_of` -> `tiers job logs`; `last_lines` also ends a JobError.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import UsageError
from toolkit.jobs.plan import JobFolder

_TAIL_BYTES = 64 * 1024
"""How much of a log's end is looked at; a log may be large."""


@dataclass(frozen=True)
class RankLog:
    """What one worker wrote last in one attempt."""

    attempt: int
    rank: int
    path: Path
    lines: tuple[str, ...]


def logs_of(
    root: Path, name: str, *, rank: int | None = None, attempt: int | None = None, lines: int = 20
) -> list[RankLog]:
    """Return the last lines of each rank, by default in the latest attempt.

    Args:
        root: folder below which local jobs have their folders.
        name: the job.
        rank: only this one.
        attempt: counts from 1.
        lines: how many of each log.

    Raises:
        UsageError: the job has not run here, or has no such attempt or rank.

    """
    folder = JobFolder(root / name)
    attempts = folder.attempts
    if not attempts:
        raise UsageError(f"job {name} has no logs in {folder.root}", hint=f"tiers job submit {name} --local")
    chosen = attempts[-1] if attempt is None else attempt
    ranks = folder.ranks(chosen)
    wanted = [each for each in ranks if rank in {None, each}]
    if not wanted:
        raise UsageError(
            f"job {name} has no log of rank {rank} in attempt {chosen}"
            if ranks
            else f"job {name} has no attempt {chosen}",
            hint=f"attempts {attempts[0]} to {attempts[-1]}" + (f", ranks 0 to {ranks[-1]}" if ranks else ""),
        )
    paths = {each: folder.log(chosen, each) for each in wanted}
    return [RankLog(chosen, each, path, last_lines(path, lines)) for each, path in paths.items()]


def last_lines(path: Path, count: int) -> tuple[str, ...]:
    """Return up to `count` last lines of a log; what is no UTF-8 is marked, a missing log has none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ()
    return tuple(text.splitlines()[-count:]) if count > 0 else ()
