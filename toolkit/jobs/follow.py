"""Follow a job: each change of its state or its reason, until it has ended. After `submit --wait`.

A watch on the one job tells when to look; while it waits for machines, what holds it changes elsewhere, so we look
every few seconds too. A watch that breaks only means to look again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from urllib3.exceptions import HTTPError

from toolkit.jobs.observe import JOB, observe
from toolkit.jobs.reason import explain
from toolkit.jobs.states import Cause, JobState, Reason
from toolkit.jobs.values import text
from toolkit.jobs.where import Where

_LOOK_EVERY_SECONDS = 5
_REFUSED_FROM = 300
_LEAVES = frozenset({JobState.SUSPENDED, JobState.NOT_SUBMITTED})


def follow(where: Where) -> Iterator[Reason]:
    """Give each new reason of a job; the last one has ended, was suspended, or is gone.

    Raises:
        ClusterError: the job may not be read.
        UnreachableError: the server does not answer.
    """
    last: tuple[JobState, Cause, str] | None = None
    while True:
        seen = observe(where.kinds, where.namespace, where.name, pool=where.pool)
        reason = explain(seen)
        if (reason.state, reason.cause, reason.why) != last:
            last = (reason.state, reason.cause, reason.why)
            yield reason
        if reason.state.ended or reason.state in _LEAVES:
            return
        _wait_for_change(where, text(seen.job, "metadata", "resourceVersion"))


def _wait_for_change(where: Where, version: str) -> None:
    """Return when the job has changed, or after a few seconds."""
    query = {
        "watch": "true",
        "fieldSelector": f"metadata.name={where.name}",
        "resourceVersion": version,
        "timeoutSeconds": str(_LOOK_EVERY_SECONDS),
    }
    path = where.kinds.resource(*JOB).path(where.namespace)
    try:
        answer = where.connection.open("GET", path, query, None, _LOOK_EVERY_SECONDS + 5.0)
    except HTTPError:
        threading.Event().wait(1.0)  # `observe` says what is wrong when it lasts
        return
    try:
        if answer.status >= _REFUSED_FROM:
            threading.Event().wait(1.0)
        else:
            next(answer.stream(1 << 16), b"")
    except HTTPError:
        return
    finally:
        answer.close()
