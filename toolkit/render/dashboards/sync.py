"""The dashboard "sync": what the agents of the tiers move, and which route is behind."""

from __future__ import annotations

from typing import Final

from toolkit.render.dashboards.description import Choice, Dashboard, Limit, Panel, Query, Row

_HERE = '{$ours, route=~"$route"}'
_RANGE = f"{_HERE}[$__rate_interval]"
_OF = "{{route}}"

SYNC: Final = Dashboard(
    name="sync",
    title="Sync",
    explains="Routes between tiers, as the agents that stay tell; what a CronJob runs ends before it is asked.",
    choices=(Choice("route", "route", "tiers_sync_files"),),
    rows=(
        Row(
            "Routes",
            (
                Panel(
                    "Since the last good run",
                    (
                        Query(
                            f"time() - max by (route) (tiers_sync_last_success_timestamp_seconds{_HERE})", _OF
                        ),
                    ),
                    unit="s",
                    explains="Beyond three times the route's `every`, somebody is told. By hand: tiers sync run ROUTE.",
                ),
                Panel(
                    "Runs",
                    (
                        Query(
                            f"sum by (route, outcome) (increase(tiers_sync_runs_total{_HERE}[1h]))",
                            "{{route}} {{outcome}}",
                        ),
                    ),
                    explains="In the last hour. Why one failed: kubectl logs of the agent.",
                ),
                Panel(
                    "Moved",
                    (Query(f"sum by (route) (rate(tiers_sync_moved_bytes_total{_RANGE}))", _OF),),
                    unit="Bps",
                    stacked=True,
                ),
                Panel(
                    "Did not have to move",
                    (Query(f"sum by (route) (rate(tiers_sync_saved_bytes_total{_RANGE}))", _OF),),
                    unit="Bps",
                    stacked=True,
                    explains="Bytes of changed files whose chunks were there already.",
                ),
                Panel(
                    "Time of the last run",
                    (Query(f"max by (route) (tiers_sync_last_run_seconds{_HERE})", _OF),),
                    unit="s",
                    width=8,
                ),
                Panel("Files", (Query(f"max by (route) (tiers_sync_files{_HERE})", _OF),), width=8),
                Panel(
                    "Files left behind",
                    (Query(f"max by (route) (tiers_sync_left_files{_HERE})", _OF),),
                    width=8,
                    limits=(Limit(1, "orange"),),
                    explains="Torn while they were read, or not readable.",
                ),
            ),
        ),
    ),
)
