"""Bring data back to a faster tier because somebody asked for it, and keep it there for as long as they said.

`toolkit.routes` gives the demand routes that cover a path; this runs those that lead to the tier, the coldest first,
with `run`, because an archive may hold one part and a warmer tier another. It pins what came, so that the route which
archives it leaves it alone until the time is over, and records that somebody read it, for the rules of `policies`.
Recalling again moves nothing and begins the time anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from toolkit.errors import RemoteUnavailableError, SyncError
from toolkit.sync.events import Listener, unheard
from toolkit.sync.pins import documents_of, pin_part
from toolkit.sync.policies.reads import record_read
from toolkit.sync.remotes.choose import open_storage
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.result import SyncResult
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask


@dataclass(frozen=True)
class Recalled:
    """What a recall did."""

    path: str
    tier: str
    """Where it is now."""
    hops: tuple[SyncResult, ...]
    """One run a tier that it went through, in order."""
    until_ms: int
    """Until when it is kept there, in milliseconds since 1970; 0 when nobody keeps it."""

    @property
    def exit_code(self) -> int:
        """That of the worst hop."""
        return max(hop.exit_code for hop in self.hops)


def recall(
    tasks: Sequence[SyncTask],
    tier: str,
    *,
    until_ms: int = 0,
    note: str = "",
    dry_run: bool = False,
    listen: Listener = unheard,
    remotes: Callable[[Storage], Remote] = open_storage,
) -> Recalled:
    """Bring a path to a tier.

    Args:
        tasks: the demand routes that cover the path, with the same path in their `path` and `below`.
        tier: where it shall be.
        until_ms: keep it there until then, in milliseconds since 1970; 0 keeps nothing.
        note: who asked and why, for people.
        dry_run: say what would move; change nothing, so only the hop from the coldest tier that holds it can be said.
        listen: hears what is going on.
        remotes: opens the Remote of a storage.

    Raises:
        SyncError: no tier that leads there holds it.
        RemoteUnavailableError: a storage on the way does not answer.
    """
    hops: list[tuple[SyncTask, SyncResult]] = []
    lacking: list[SyncError] = []
    for task in ways_to(tasks, tier):
        if dry_run and hops:
            continue  # what the hop before would bring is not there yet
        try:
            hops.append((task, run_task(task, dry_run=dry_run, listen=listen, remotes=remotes)))
        except RemoteUnavailableError:
            raise  # nobody knows what it holds
        except SyncError as error:
            lacking.append(error)
            continue
        if hops[-1][1].exit_code:
            break
    if not hops:
        raise (
            lacking[-1]
            if lacking
            else SyncError(
                f"no route on demand leads to {tier}", hint="write one with `trigger: demand` under routes"
            )
        )
    last, result = hops[-1]
    path = "/".join(filter(None, (last.path, last.below)))
    if not dry_run and not result.exit_code:
        documents = documents_of(last.targets[0], remotes)
        if documents is not None:
            record_read(documents, path, time.time_ns() // 1_000_000)
        if until_ms:
            pin_part(last, last.targets[0], until_ms=until_ms, note=note, remotes=remotes)
    return Recalled(path, tier, tuple(each for _, each in hops), 0 if dry_run else until_ms)


def ways_to(tasks: Sequence[SyncTask], tier: str, passed: frozenset[str] = frozenset()) -> list[SyncTask]:
    """Order the routes that lead to a tier, directly or through others, so that each stands after what feeds it.

    Args:
        tasks: the routes, each with one target that counts.
        tier: where they shall lead.
        passed: tiers that were met already, so that a circle ends.
    """
    ordered: list[SyncTask] = []
    for task in tasks:
        if task.targets[0].tier == tier and task.source.tier not in passed:
            before = ways_to(tasks, task.source.tier, passed | {tier})
            ordered += [each for each in (*before, task) if each not in ordered]
    return ordered
