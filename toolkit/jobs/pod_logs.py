"""What a worker wrote, through the API server: the path `log` of its pod. Beside `logs`, which reads local runs.

The API server asks the kubelet of the pod's node, so a node that is silent or a pod that has not begun has no log; the
error says which. Source: Kubernetes API, `GET /api/v1/namespaces/NS/pods/NAME/log`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from urllib3.exceptions import HTTPError

from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import list_all
from toolkit.cluster.refusal import refused
from toolkit.cluster.request import Json
from toolkit.errors import ClusterError, JobError, TiersError, UsageError
from toolkit.jobs.failures import rank_of
from toolkit.jobs.room import JOB_LABEL
from toolkit.jobs.values import name_of, text

CONTAINER = "worker"
LONGEST_LINE = 64 * 1024
"""Bytes of one line that are handed on at once; longer ones come in parts."""
_PIECE = 16 * 1024
_REFUSED_FROM, _LARGEST_REFUSAL = 300, 1 << 20
_READ_SECONDS, _FOLLOW_SECONDS = 60.0, 24 * 3600.0
_BEGUN = frozenset({"Running", "Succeeded", "Failed"})


@dataclass(frozen=True)
class Line:
    """One line of one worker."""

    rank: int
    text: str


def workers(kinds: Kinds, namespace: str, job: str) -> dict[int, Json]:
    """Give the pods of a job by rank.

    Raises:
        RefusedError: they may not be listed.
        UnreachableError: the server does not answer.
    """
    pods = list_all(kinds, kinds.resource("v1", "Pod"), f"{JOB_LABEL}={job}", namespace)
    return {rank_of(pod): pod for pod in sorted(pods, key=rank_of) if rank_of(pod) >= 0}


def logs(
    kinds: Kinds,
    namespace: str,
    job: str,
    *,
    rank: int | None = None,
    lines: int | None = 20,
    follow: bool = False,
) -> Iterator[Line]:
    """Give what the workers of a job wrote, rank by rank; when followed, all of them as it comes.

    Args:
        kinds: the way to the cluster.
        namespace: where the job is.
        job: its name.
        rank: only this worker.
        lines: how many of each log's end; None: all.
        follow: go on until the workers end.

    Raises:
        UsageError: there is no such rank.
        JobError: no worker has begun.
        ClusterError: a log cannot be had; says of which worker and why.
        UnreachableError: the server does not answer.
    """
    pods = workers(kinds, namespace, job)
    if rank is not None and pods and rank not in pods:
        raise UsageError(f"job {job} has no rank {rank}", hint=f"ranks 0 to {max(pods)}")
    chosen = {each: pod for each, pod in pods.items() if rank in {None, each}}
    begun = {each: name_of(pod) for each, pod in chosen.items() if text(pod, "status", "phase") in _BEGUN}
    if not begun:
        what = f"rank {rank}" if rank is not None and pods else "no worker"
        raise JobError(
            f"job {job} has no log yet: {what} has {'not ' if rank is not None and pods else ''}begun",
            hint=f"tiers job status {job}",
        )
    if follow and len(begun) > 1:
        yield from _all_at_once(kinds, namespace, begun, lines)
        return
    for number, pod in begun.items():
        for line in read_log(kinds, namespace, pod, lines=lines, follow=follow):
            yield Line(number, line)


def read_log(
    kinds: Kinds, namespace: str, pod: str, *, lines: int | None = None, follow: bool = False
) -> Iterator[str]:
    """Give the lines of one pod's log.

    Raises:
        ClusterError: there is none, or its node does not give it.
        UnreachableError: the server does not answer.
    """
    query = {"container": CONTAINER}
    query |= {"tailLines": str(lines)} if lines is not None else {}
    query |= {"follow": "true"} if follow else {}
    path = f"{kinds.resource('v1', 'Pod').path(namespace, pod)}/log"
    connection = kinds.connection
    try:
        answer = connection.open(
            "GET", path, query, None, _FOLLOW_SECONDS if follow else _READ_SECONDS, "text/plain, */*"
        )
    except HTTPError as exc:
        raise connection.unreachable(exc) from exc
    try:
        if answer.status >= _REFUSED_FROM:
            error = refused(answer.status, answer.read(_LARGEST_REFUSAL), f"GET {path}")
            raise ClusterError(
                f"no log of pod {pod}: {error.message}",
                hint=error.hint or f"kubectl describe pod -n {namespace} {pod}",
            ) from error
        yield from _lines(answer.stream(_PIECE))
    except HTTPError as exc:
        raise ClusterError(f"the log of pod {pod} broke off: {exc}", hint="repeat") from exc
    finally:
        answer.close()


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
        if len(rest) > LONGEST_LINE:
            yield rest.decode(errors="replace")
            rest = b""
    if rest:
        yield rest.decode(errors="replace")


def _all_at_once(kinds: Kinds, namespace: str, pods: dict[int, str], lines: int | None) -> Iterator[Line]:
    """Follow several workers, each in a thread of its own that ends with the process."""
    said: SimpleQueue[Line | TiersError | None] = SimpleQueue()

    def follow(rank: int, pod: str) -> None:
        try:
            for line in read_log(kinds, namespace, pod, lines=lines, follow=True):
                said.put(Line(rank, line))
        except TiersError as error:
            said.put(error)
        finally:
            said.put(None)

    for rank, pod in pods.items():
        Thread(target=follow, args=(rank, pod), name=f"log-{rank}", daemon=True).start()
    running = len(pods)
    while running:
        found = said.get()
        if found is None:
            running -= 1
        elif isinstance(found, TiersError):
            raise found
        else:
            yield found
