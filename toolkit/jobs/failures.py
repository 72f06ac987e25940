"""Which workers of a job failed, how, and which first. Pure; `reason` names it, `observe` reads its last words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolkit.jobs.room import RANK_LABEL
from toolkit.jobs.seen import Seen
from toolkit.jobs.values import label, mapping, mappings, name_of, number, text

_BY_SIGNAL = 128
_SIGNALS = {9: "SIGKILL: out of memory, or the grace was over", 15: "SIGTERM: evicted or stopped"}


def rank_of(pod: Mapping[str, object]) -> int:
    """Give the rank of a worker's pod; -1 for a pod of something else."""
    written = label(pod, RANK_LABEL)
    return int(written) if written.isdecimal() else -1


def failures(seen: Seen) -> Iterator[tuple[str, int, str]]:
    """Give end, rank and manner of each worker that failed."""
    for pod in seen.pods:
        if text(pod, "status", "phase") != "Failed":
            continue
        ended = [
            mapping(each, "state", "terminated") for each in mappings(pod, "status", "containerStatuses")
        ]
        bad = [each for each in ended if number(each, "exitCode")]
        node = text(pod, "spec", "nodeName")
        if bad:
            code, cause = number(bad[0], "exitCode"), text(bad[0], "reason")
            named = _SIGNALS.get(code - _BY_SIGNAL, "")
            more = cause if cause not in {"", "Error"} else named
            said = f"on {node} ended with exit code {code}" + (f" ({more})" if more else "")
            yield text(bad[0], "finishedAt"), rank_of(pod), said
        else:
            status = f"{text(pod, 'status', 'reason')}: {text(pod, 'status', 'message')}".strip(": ")
            yield "", rank_of(pod), f"on {node} failed" + (f" ({status})" if status else "")


def failed_ranks(seen: Seen) -> list[tuple[int, str]]:
    """Give rank and pod of each worker that failed, the first to fail first; `observe` asks for their last words."""
    pods = {rank_of(pod): name_of(pod) for pod in seen.pods}
    return [(rank, pods[rank]) for _, rank, _ in sorted(failures(seen))]
