"""The same work in several clusters at once: one result each; the failure of one does not stop the others.

Around `diff`, `apply`, `wait` and `status`. Ctrl-C sets `stop`, waits for what is under way, and goes on as Ctrl-C: so
a lock is given back and no object is half reported.

How a command ends, by all results: 5 when a cluster cannot be reached, also when the others are fine; else 4 when some
clusters worked; else by the first error. One cluster alone ends by its own error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from toolkit.cluster.request import Connection
from toolkit.errors import PartlyAppliedError, TiersError, UnreachableError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class ClusterResult(Generic[T_co]):
    """What came of the work in one cluster: a value or an error."""

    cluster: str
    context: str
    value: T_co | None = None
    error: TiersError | None = None


def in_each(
    connections: Sequence[Connection],
    work: Callable[[Connection], T],
    *,
    stop: threading.Event | None = None,
) -> tuple[ClusterResult[T], ...]:
    """Do the work in every cluster, all at the same time.

    Args:
        connections: the ways to the clusters; results come in this order.
        work: what to do in one; its TiersErrors become results, all else is raised.
        stop: set when somebody presses Ctrl-C; the work should look at it and end soon.
    """
    if not connections:
        return ()
    with ThreadPoolExecutor(max_workers=len(connections), thread_name_prefix="cluster") as threads:
        try:
            return tuple(threads.map(lambda each: _one(each, work), connections))
        except BaseException:
            if stop is not None:
                stop.set()
            raise


def values_of(results: Sequence[ClusterResult[T]]) -> list[T]:
    """Give what came of the work where it worked."""
    return [each.value for each in results if each.value is not None]


def raise_for_clusters(results: Sequence[ClusterResult[object]]) -> None:
    """End a command by the clusters in which the work could not be done.

    Raises:
        UnreachableError: one of several does not answer; the message has every error.
        PartlyAppliedError: it worked in some of them and not in others.
        TiersError: it worked in none; or there was only one, whose error this is.
    """
    failed = [(each, each.error) for each in results if each.error is not None]
    if not failed:
        return
    first = failed[0][1]
    if len(results) == 1:
        raise first
    lines = [f"{each.cluster}: {error.message}" for each, error in failed]
    message = f"{len(failed)} of {len(results)} clusters:\n  " + "\n  ".join(lines)
    hint = "\n   or: ".join(dict.fromkeys(error.hint for _, error in failed if error.hint))
    silent = next((error for _, error in failed if isinstance(error, UnreachableError)), None)
    if silent is not None:
        raise UnreachableError(message, hint=hint) from silent
    if len(failed) < len(results):
        raise PartlyAppliedError(message, hint=hint) from first
    raise first


def _one(connection: Connection, work: Callable[[Connection], T]) -> ClusterResult[T]:
    try:
        return ClusterResult(connection.cluster, connection.context, work(connection))
    except TiersError as error:
        return ClusterResult(connection.cluster, connection.context, error=error)
