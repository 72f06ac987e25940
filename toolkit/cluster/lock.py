"""One writer at a time: a lock that is held while a topology is written. Around `apply`; the document is `lease`.

A holder renews every third of the duration. It stops by itself when it could not renew for most of the duration, or
finds another name in the Lease. Every write carries the resourceVersion that was read, so of two that want the lock one
wins. A lock is given back at the end, also after an error or Ctrl-C; one whose holder was killed ends by itself.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from toolkit.cluster.lease import DURATION_SECONDS, Holder, Watched, holder_of, part, renewed, taken
from toolkit.cluster.refusal import CONFLICT, FORBIDDEN, NOT_FOUND, RefusedError
from toolkit.cluster.request import ATTEMPTS, Connection, Json, may_have_been_done
from toolkit.errors import ClusterError, TiersError, UnreachableError

_RENEWALS, _MARGIN = 3, 6
_LOOK_AGAIN_SECONDS, _TRY_AGAIN_SECONDS, _ANSWER_SECONDS = 1.0, 1.0, 5.0
_MOST_WRITES = 20


@dataclass(frozen=True)
class Claim:
    """Who wants a lock, and how much."""

    who: str
    """user@host, for whoever finds the lock taken."""
    wait_seconds: float = 0.0
    """How long to wait for another holder; 0 refuses at once."""
    break_lock: bool = False
    """Take it whoever has it. The holder, if it lives, stops at its next look."""
    command: str = "tiers apply"
    """What to type again, for a message."""
    again: str = ""
    """What to type when the cluster has moved meanwhile; empty: the same command."""
    duration_seconds: int = DURATION_SECONDS
    """How long the lock outlives us if we die."""


class LockedError(ClusterError):
    """Somebody else is writing. `holder` says who."""

    retryable = True

    def __init__(self, cluster: str, holder: Holder, command: str) -> None:
        """Name the holder, since when, when its lock ends, and the two ways out."""
        super().__init__(
            f"the cluster '{cluster}' is being written by {holder.name}, since {holder.since}; "
            f"its lock ends at {holder.until} unless it is renewed",
            hint=f"{command} --wait-for-lock 2m\n   or: {command} --break-lock, when that process is known to be dead",
        )
        self.holder = holder


@contextmanager
def hold(
    connection: Connection,
    topology: str,
    namespace: str,
    claim: Claim,
    *,
    make_place: Callable[[], object] | None = None,
    stop: threading.Event | None = None,
) -> Iterator[Lock]:
    """Hold the lock of a topology in one cluster for the time of a `with` block.

    Args:
        connection: the way to the cluster.
        topology: its name, of which the Lease gets its own.
        namespace: where the Lease is.
        claim: who wants it, and whether to wait.
        make_place: makes the namespace when it is not there, before the first apply.
        stop: set by somebody who does not want to wait any longer.

    Raises:
        LockedError: another one holds it, after the wait.
        RefusedError: the server does not let this user have Leases there.
        UnreachableError: the server does not answer.
    """
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/tiers-{topology}"
    lock = Lock(connection, path, claim)
    try:
        in_the_way = lock.take(make_place, stop)
        if in_the_way is not None:
            raise LockedError(connection.cluster, in_the_way, claim.command)
        yield lock
    finally:
        lock.release()


class Lock:
    """A lock of ours. `reason_to_stop` is asked before every write."""

    def __init__(self, connection: Connection, path: str, claim: Claim) -> None:
        """Take note of all; nothing is sent yet."""
        self.identity = f"{claim.who} {secrets.token_hex(4)}"
        self._connection, self._path, self._claim = connection, path, claim
        self._lease: Json = {}
        self._renewed = (0.0, 0.0)
        self._lost = ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lock", daemon=True)

    def reason_to_stop(self) -> str:
        """Say why nothing may be written any more; empty as long as the lock is ours."""
        if self._lost:
            return self._lost
        # A suspended machine stops its monotonic clock, so whichever clock went further counts.
        then = self._renewed
        silent = max(time.monotonic() - then[0], time.time() - then[1])
        if silent > self._claim.duration_seconds * (_MARGIN - 1) / _MARGIN:
            return f"the lock could not be renewed for {silent:.0f} s, so somebody else may have it"
        return ""

    # ------------------------------------------------------------ taking it
    def take(
        self, make_place: Callable[[], object] | None = None, stop: threading.Event | None = None
    ) -> Holder | None:
        """Take the lock and begin to renew it; give the holder that is in the way when the time is over.

        Raises:
            RefusedError: the server does not let us.
            UnreachableError: it does not answer.
        """
        deadline, watched = time.monotonic() + self._claim.wait_seconds, Watched()
        stop = stop or threading.Event()
        for _ in range(_MOST_WRITES):
            found = self._read()
            while found is not None and not self._may_take(found, watched):
                left = deadline - time.monotonic()
                if left <= 0 or stop.is_set():
                    return holder_of(found)
                stop.wait(min(_LOOK_AGAIN_SECONDS, left))
                found = self._read()
            if self._write(found, make_place):
                self._thread.start()
                return None
        raise ClusterError(
            f"the lock {self._path} could not be taken: each time somebody was faster, or the answer was lost",
            hint="repeat",
        )

    def _may_take(self, found: Json, watched: Watched) -> bool:
        free = watched.is_free(found, now=self._connection.clock.now(), ticks=time.monotonic())
        return free or self._claim.break_lock or holder_of(found).name == self.identity

    def _read(self, *, attempts: int = ATTEMPTS) -> Json | None:
        try:
            return self._connection.send(
                "GET", self._path, {}, attempts=attempts, read_seconds=_ANSWER_SECONDS
            )
        except RefusedError as error:
            if error.status == NOT_FOUND:
                return None
            raise _explained(error) from error

    def _write(self, found: Json | None, make_place: Callable[[], object] | None) -> bool:
        """Create the Lease, or put our name into the one that was read; False: read it again."""
        asked, (folder, _, name) = _clocks(), self._path.rpartition("/")
        now = self._connection.clock.now()
        body = taken(found, name, self.identity, self._claim.duration_seconds, now)
        try:
            method, path = ("POST", folder) if found is None else ("PUT", self._path)
            self._lease = self._connection.send(method, path, {}, body)
        except UnreachableError:  # perhaps only the answer was lost; reading tells
            return False
        except RefusedError as error:
            if may_have_been_done(error):
                self._end.wait(_TRY_AGAIN_SECONDS)
                return False
            if error.status == CONFLICT or (error.status == NOT_FOUND and found is not None):
                return False
            if error.status == NOT_FOUND and make_place is not None:
                make_place()
                return False
            raise _explained(error) from error
        self._renewed = asked
        return True

    # ------------------------------------------------------------ keeping it
    def _keep(self) -> None:
        pause = self._claim.duration_seconds / _RENEWALS
        while not self._lost and not self._end.wait(pause):
            pause = self._renew()

    def _renew(self) -> float:
        """Renew once; give the seconds until the next time. What may pass is tried again, sooner."""
        asked, body = _clocks(), renewed(self._lease, self._connection.clock.now())
        try:
            self._lease = self._connection.send(
                "PUT", self._path, {}, body, attempts=1, read_seconds=_ANSWER_SECONDS
            )
        except RefusedError as error:
            if error.status in {CONFLICT, NOT_FOUND}:
                with suppress(TiersError):
                    self._look_again()
            return _TRY_AGAIN_SECONDS
        except TiersError:
            return _TRY_AGAIN_SECONDS
        self._renewed = asked
        return self._claim.duration_seconds / _RENEWALS

    def _look_again(self) -> None:
        """Find out why a renewal was refused: our own earlier one whose answer was lost, or somebody else."""
        found = self._read(attempts=1)
        if found is None:
            self._lost = "the lock was taken away: its Lease is gone"
        elif (holder := holder_of(found)).name != self.identity:
            self._lost = f"the lock was taken by {holder.name or 'nobody'}, at {holder.since}"
        else:
            self._lease = found

    def release(self) -> None:
        """Give the lock back. What cannot be given back ends by itself."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()
        metadata = part(self._lease, "metadata")
        if self._lost or not metadata:
            return
        exactly_this = {name: metadata.get(name) for name in ("uid", "resourceVersion")}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": exactly_this}
        with suppress(TiersError):
            self._connection.send("DELETE", self._path, {}, options, attempts=2, read_seconds=_ANSWER_SECONDS)


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.time()


def _explained(error: RefusedError) -> RefusedError:
    if error.status != FORBIDDEN or "terminat" in error.message:
        return error
    return RefusedError(
        error.message,
        status=error.status,
        hint="who applies needs get, create, update and delete on leases.coordination.k8s.io in this namespace",
    )
