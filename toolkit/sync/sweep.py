"""One deletion at a time in a store, announced before it begins: the list `gc/sweeps/NUMBER` (see `collecting`).

`gc` and `repair` delete packs, indexes and manifests only through here. A list is written under the next number with
`write_new`, so of two that begin at once one does not; the newest list stays, marked as done, so that the numbers grow.

A list whose writer was killed would keep writers away from what it names for ever. So a sweep deletes nothing later
than SWEEP_SECONDS after it began, by a clock that runs on while the machine or the process sleeps, and whoever comes an
hour after it, by the clock of the store, may close it. This is the one place where time is trusted: a process that was
stopped between looking at that clock and the deletion of one object for most of an hour could delete an object that
was written anew under the same name meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from toolkit.errors import IntegrityError, MissingObjectError, SyncError
from toolkit.sync.collecting import SWEEPS, Sweep, read_sweep
from toolkit.sync.remotes.remote import Remote
from toolkit.wire.document import encode_json

SWEEP_SECONDS = 600.0
STALE_MS = 60 * 60 * 1000
"""So old, by the store's own clock, a list is of a process that died."""
STALE_BY_OURS_MS = 3 * 24 * 60 * 60 * 1000
"""The same when the store does not tell its time and the clocks of two machines may be days apart."""


def seconds_asleep_too() -> float:
    """Give a number of seconds that grows also while the machine sleeps, where the system has such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Sweeping:
    """A sweep at work. For one thread; `finish` it."""

    def __init__(
        self,
        remote: Remote,
        condemned: Iterable[str],
        *,
        now_ms: int,
        stale_ms: int = STALE_MS,
        ticks: Callable[[], float] = seconds_asleep_too,
    ) -> None:
        """Announce what will be deleted.

        Args:
            remote: the store.
            condemned: keys; nothing else can be deleted.
            now_ms: milliseconds since 1970, by the clock of the store.
            stale_ms: age after which the list of another sweep is taken for abandoned.
            ticks: seconds, for the lease.

        Raises:
            SyncError: another sweep is at work.
            RemoteUnavailableError: the store does not answer.
        """
        self._remote = remote
        self._ticks = ticks
        names = [found.key for found in remote.list(SWEEPS)]
        self._abandoned = self._standing(names, now_ms, stale_ms)
        left = {key for sweep in self._abandoned.values() for key in sweep.condemned}
        self._sweep = Sweep(began_ms=now_ms, condemned=tuple(sorted(left | set(condemned))))
        self._condemned = frozenset(self._sweep.condemned)
        number = max((_number(name) for name in names), default=0) + 1
        self._name = f"{SWEEPS}{number:010d}"
        self._until = ticks() + SWEEP_SECONDS
        if not remote.write_new(self._name, encode_json(self._sweep)):
            raise self._busy(self._name)
        # One that listed long ago may have taken a number that others have used up and tidied away.
        later = [found.key for found in remote.list(SWEEPS) if _number(found.key) > number]
        if later:
            remote.delete(self._name)
            raise self._busy(later[-1])

    def delete(self, key: str) -> bool:
        """Delete something of the list; say whether there was time left to.

        Raises:
            ValueError: it is not in the list.
        """
        if key not in self._condemned:
            raise ValueError(f"{key} was not announced")
        if self._ticks() > self._until:
            return False
        self._remote.delete(key)
        return True

    def finish(self) -> None:
        """Let everybody count again on what is still there."""
        for name, sweep in (*self._abandoned.items(), (self._name, self._sweep)):
            done = Sweep(began_ms=sweep.began_ms, condemned=(), done=True)
            self._remote.write(name, encode_json(done))
        for found in list(self._remote.list(SWEEPS)):
            if _number(found.key) < _number(self._name):
                self._remote.delete(found.key)

    def _standing(self, names: list[str], now_ms: int, stale_ms: int) -> dict[str, Sweep]:
        abandoned: dict[str, Sweep] = {}
        for name in names:
            try:
                sweep = read_sweep(self._remote, name)
            except MissingObjectError:
                continue
            if sweep.done:
                continue
            if now_ms - sweep.began_ms < stale_ms:
                raise self._busy(name)
            abandoned[name] = sweep
        return abandoned

    def _busy(self, name: str) -> SyncError:
        return SyncError(
            f"{self._remote.url}: another collection or repair is at work ({name})",
            hint="try again later; one that was killed is taken over after an hour",
        )


def _number(name: str) -> int:
    text = name.removeprefix(SWEEPS)
    if not text.isdecimal():
        raise IntegrityError(
            f"{name} is no name of a sweep", hint=f"look who wrote it, and remove {name} there"
        )
    return int(text)
