"""Read all that decides about one job: itself, its PodGroup and pods, queues, quotas, nodes and who is on them.

Before `reason`; the only part of it that asks the cluster. What does not matter for the job's phase is not asked for:
nodes and foreign pods only while it waits, logs only when it failed. What the user may not read is named and left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import list_all
from toolkit.cluster.refusal import FORBIDDEN, NOT_FOUND, RefusedError
from toolkit.cluster.request import Json
from toolkit.errors import TiersError
from toolkit.jobs.failures import failed_ranks
from toolkit.jobs.pod_logs import read_log
from toolkit.jobs.room import JOB_LABEL
from toolkit.jobs.seen import Seen
from toolkit.jobs.values import label, mappings, name_of, namespace_of, text

JOB = ("batch.volcano.sh/v1alpha1", "Job")
POD_GROUP = ("scheduling.volcano.sh/v1beta1", "PodGroup")
QUEUE = ("scheduling.volcano.sh/v1beta1", "Queue")
PRIORITY_CLASS = ("scheduling.k8s.io/v1", "PriorityClass")
_FAILED = frozenset({"Failed", "Terminated"})
_ENDED = frozenset({"Completed", "Aborted", *_FAILED})
_MOST_EVENTS = "200"
_LAST_WORDS = 5
"""Lines of a failed worker's log that stand in the reason."""


def observe(kinds: Kinds, namespace: str, name: str, *, pool: str = "") -> Seen:
    """Read one job and what decides about it.

    Args:
        kinds: the way to the cluster.
        namespace: where the job is.
        name: its name.
        pool: its pool in tiers.yaml, for the sentences; empty when tiers.yaml does not have it.

    Raises:
        ClusterError: Volcano is not installed, or this user may not read jobs here.
        UnreachableError: the server does not answer.
    """
    job = read(kinds, JOB, namespace, name)
    seen = Seen(name=name, namespace=namespace, pool=pool, job=job)
    if job is None:
        return seen
    unread: list[str] = []
    pods = _listed(kinds, ("v1", "Pod"), unread, namespace, f"{JOB_LABEL}={name}")
    group = f"{name}-{text(job, 'metadata', 'uid')}"
    seen = replace(seen, pods=pods, pod_group=read_if_allowed(kinds, POD_GROUP, unread, namespace, group))
    if seen.phase in _FAILED:
        return replace(seen, last_words=_last_words(kinds, seen), unread=tuple(unread))
    if seen.phase in _ENDED or (seen.phase == "Running" and seen.running >= seen.workers):
        return replace(seen, unread=tuple(unread))
    return surroundings(kinds, replace(seen, unread=tuple(unread)))


def surroundings(kinds: Kinds, seen: Seen) -> Seen:
    """Add what decides whether a job gets its machines: queues, quotas, nodes and everybody's pods.

    Raises:
        ClusterError: Volcano is not installed.
        UnreachableError: the server does not answer.
    """
    unread = list(seen.unread)
    others = [each for each in _listed(kinds, ("v1", "Pod"), unread) if not _is_of(each, seen)]
    wanted = text(seen.job, "spec", "priorityClassName")
    return replace(
        seen,
        queues=_listed(kinds, QUEUE, unread),
        quotas=_listed(kinds, ("v1", "ResourceQuota"), unread, seen.namespace),
        nodes=_listed(kinds, ("v1", "Node"), unread),
        others=tuple(others),
        priority_class=not wanted or _is_there(kinds, PRIORITY_CLASS, wanted, unread),
        events=tuple(_events(kinds, seen, unread)),
        unread=tuple(dict.fromkeys(unread)),
    )


def _is_of(pod: Json, seen: Seen) -> bool:
    """Tell whether a pod is the job's, also one that was made since its pods were listed."""
    return namespace_of(pod) == seen.namespace and label(pod, JOB_LABEL) == seen.name


def read(kinds: Kinds, kind: tuple[str, str], namespace: str, name: str) -> Json | None:
    """Read one object; None when it is not there.

    Raises:
        ClusterError: the kind does not exist, or may not be read.
        UnreachableError: the server does not answer.
    """
    try:
        body = kinds.connection.get(kinds.resource(*kind).path(namespace, name))
    except RefusedError as error:
        if error.status == NOT_FOUND:
            return None
        raise
    return {"apiVersion": kind[0], "kind": kind[1], **body}


def read_if_allowed(
    kinds: Kinds, kind: tuple[str, str], unread: list[str], namespace: str, name: str
) -> Json | None:
    """Read one object; None when it is not there, or when it may not be read: then its kind is added to `unread`.

    Raises:
        ClusterError: the kind does not exist.
        UnreachableError: the server does not answer.
    """
    try:
        return read(kinds, kind, namespace, name)
    except RefusedError as error:
        if error.status != FORBIDDEN:
            raise
    unread.append(kind[1])
    return None


def _is_there(kinds: Kinds, kind: tuple[str, str], name: str, unread: list[str]) -> bool:
    """Tell whether an object is there; what may not be read counts as there."""
    before = len(unread)
    return read_if_allowed(kinds, kind, unread, "", name) is not None or len(unread) > before


def _listed(
    kinds: Kinds, kind: tuple[str, str], unread: list[str], namespace: str = "", selector: str = ""
) -> tuple[Json, ...]:
    try:
        return tuple(list_all(kinds, kinds.resource(*kind), selector, namespace))
    except RefusedError as error:
        if error.status != FORBIDDEN:
            raise
    unread.append(kind[1])
    return ()


def _events(kinds: Kinds, seen: Seen, unread: list[str]) -> Iterator[Json]:
    """Give the events about the job and its PodGroup, oldest first; what is wrong with a pod stands in its status."""
    found: list[Json] = []
    path = kinds.resource("v1", "Event").path(seen.namespace)
    for name in filter(None, (seen.name, name_of(seen.pod_group))):
        try:
            page = kinds.connection.get(path, fieldSelector=f"involvedObject.name={name}", limit=_MOST_EVENTS)
        except RefusedError as error:
            if error.status != FORBIDDEN:
                raise
            unread.append("Event")
            return
        found += [dict(each) for each in mappings(page, "items")]
    yield from sorted(found, key=lambda each: text(each, "lastTimestamp") or text(each, "eventTime"))


def _last_words(kinds: Kinds, seen: Seen) -> dict[int, tuple[str, ...]]:
    """Read the end of the log of the worker that failed first; only a help, so a log that is gone is left out."""
    for rank, pod in failed_ranks(seen)[:1]:
        try:
            return {rank: tuple(read_log(kinds, seen.namespace, pod, lines=_LAST_WORDS))}
        except TiersError:
            return {}
    return {}
