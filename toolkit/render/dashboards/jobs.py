"""The dashboard "jobs": gangs that run and wait, and who holds the GPUs; figures of Volcano."""

from __future__ import annotations

from typing import Final

from toolkit.render.dashboards.description import Dashboard, Limit, Panel, Query, Row

_QUEUES = '{queue_name=~"$queues"}'
_GPUS = '{queue_name=~"$queues", resource="nvidia.com/gpu"}'
_OF = "{{queue_name}}"


def _gangs(state: str) -> Query:
    return Query(f"sum(volcano_queue_pod_group_{state}_count{_QUEUES})", state)


JOBS: Final = Dashboard(
    name="jobs",
    title="Jobs",
    explains="Gangs and queues. Why a single job waits: tiers job status NAME.",
    choices=(),
    rows=(
        Row(
            "Gangs",
            (
                Panel(
                    "Gangs by state",
                    (_gangs("running"), _gangs("inqueue"), _gangs("pending"), _gangs("unknown")),
                    stacked=True,
                    explains="pending: not let in yet; inqueue: let in, without machines; unknown: a part runs.",
                ),
                Panel(
                    "Gangs of which only a part runs",
                    (Query(f"volcano_queue_pod_group_unknown_count{_QUEUES}", _OF),),
                    limits=(Limit(1),),
                    explains="They hold GPUs and make no progress: tiers job list.",
                ),
                Panel(
                    "Waiting by queue",
                    (Query(f"volcano_queue_pod_group_pending_count{_QUEUES}", _OF),),
                ),
                Panel(
                    "Running by queue",
                    (Query(f"volcano_queue_pod_group_running_count{_QUEUES}", _OF),),
                ),
            ),
        ),
        Row(
            "Shares",
            (
                Panel(
                    "GPUs held",
                    (
                        Query(f"volcano_queue_allocated_scalar_resources{_GPUS} / 1000", f"{_OF} holds"),
                        Query(f"volcano_queue_deserved_scalar_resources{_GPUS} / 1000", f"{_OF} deserves"),
                    ),
                    explains="Above what it deserves a queue borrows, and gives back when the owner asks.",
                ),
                Panel(
                    "Time of a scheduling round",
                    (
                        Query(
                            "histogram_quantile(0.99, sum by (le)"
                            " (rate(volcano_e2e_scheduling_latency_milliseconds_bucket[$__rate_interval]))) / 1000",
                            "p99",
                        ),
                    ),
                    unit="s",
                    limits=(Limit(5),),
                ),
            ),
        ),
    ),
)
