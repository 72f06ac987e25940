"""Take a job out of its cluster and see it go: its pods first, with their grace for a last checkpoint.

Used by `tiers job cancel`, and by `submit` before it submits anew. Deleted in the foreground: the job stays until the
garbage collector has removed its pods and PodGroup, so when it is gone its machines are free.
"""

from __future__ import annotations

import threading
import time

from toolkit.cluster.kinds import Kinds
from toolkit.cluster.refusal import CONFLICT, NOT_FOUND, RefusedError
from toolkit.errors import JobError
from toolkit.jobs.observe import JOB, read
from toolkit.jobs.pod_logs import workers
from toolkit.jobs.values import text

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 2.0


def cancel(kinds: Kinds, namespace: str, name: str, *, seconds: float) -> bool:
    """Delete a job and wait until it is gone.

    Returns:
        False when it was not there.

    Raises:
        JobError: it is there still after so many seconds.
        RefusedError: it may not be deleted.
        UnreachableError: the server does not answer.
    """
    live = read(kinds, JOB, namespace, name)
    if live is None:
        return False
    remove(kinds, namespace, name, text(live, "metadata", "uid"), seconds=seconds)
    return True


def remove(kinds: Kinds, namespace: str, name: str, uid: str, *, seconds: float) -> None:
    """Delete the job with this uid, never a newer one of its name, and wait until it and its pods are gone.

    Raises:
        JobError: it is there still after so many seconds; what is asked of the cluster stays asked.
        RefusedError: it may not be deleted.
        UnreachableError: the server does not answer.
    """
    path = kinds.resource(*JOB).path(namespace, name)
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Foreground",
        "preconditions": {"uid": uid},
    }
    try:
        kinds.connection.send("DELETE", path, {}, options)
    except RefusedError as error:
        if error.status not in {NOT_FOUND, CONFLICT}:
            raise
    deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE_SECONDS
    while True:
        live = read(kinds, JOB, namespace, name)
        if live is None or text(live, "metadata", "uid") != uid:
            return
        if time.monotonic() >= deadline:
            left = len(workers(kinds, namespace, name))
            raise JobError(
                f"job {name} is being deleted and still there after {seconds:.0f} s, with {left} pods",
                hint=f"tiers job status {name}; it goes on to be deleted",
            )
        threading.Event().wait(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
