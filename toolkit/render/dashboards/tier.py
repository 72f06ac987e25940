"""The dashboard "tier": how busy the machines of a tier are, servers and devices by the same names."""

from __future__ import annotations

from typing import Final

from toolkit.render.dashboards.description import Choice, Dashboard, Limit, Panel, Query, Row

_HERE = '{$ours, tiers_tier=~"$tier", tiers_pool=~"$pool"}'
_NODE = "{{tiers_pool}} {{node}} {{gpu}}"

TIER: Final = Dashboard(
    name="tier",
    title="Tier",
    explains="Load of a tier: requests, time to answer, and what its GPUs do.",
    choices=(Choice("tier", "tiers_tier", "up"), Choice("pool", "tiers_pool", "up")),
    rows=(
        Row(
            "Requests",
            (
                Panel(
                    "Requests a second",
                    (Query(f"sum by (tiers_pool) (tiers_model:requests:rate_5m{_HERE})", "{{tiers_pool}}"),),
                    unit="reqps",
                    stacked=True,
                ),
                Panel(
                    "Time to answer, worst model",
                    (
                        Query(
                            f"max by (tiers_pool) (tiers_model:latency_seconds:p99_5m{_HERE})",
                            "{{tiers_pool}} p99",
                        ),
                        Query(
                            f"max by (tiers_pool) (tiers_model:latency_seconds:p50_5m{_HERE})",
                            "{{tiers_pool}} p50",
                        ),
                    ),
                    unit="s",
                    limits=(Limit(0.5),),
                    explains="Which model it is: dashboard Model.",
                ),
                Panel(
                    "Requests without an answer",
                    (
                        Query(
                            f"max by (tiers_pool) (tiers_model:errors:ratio_rate_5m{_HERE})", "{{tiers_pool}}"
                        ),
                    ),
                    unit="percentunit",
                    limits=(Limit(0.01),),
                    explains="Share that failed, was refused or timed out through no fault of the client.",
                ),
                Panel(
                    "Longest queue",
                    (
                        Query(
                            f"max by (tiers_pool) (tiers_node:queue_depth:max{_HERE})",
                            "{{tiers_pool}}",
                        ),
                    ),
                    explains="Requests that wait on the busiest machine.",
                ),
            ),
        ),
        Row(
            "GPUs",
            (
                Panel(
                    "Use",
                    (Query(f"node_gpu:utilization:ratio{_HERE}", _NODE),),
                    unit="percentunit",
                    explains="Share of time that a GPU worked. Low use beside a long queue means small batches.",
                ),
                Panel(
                    "Memory",
                    (Query(f"node_gpu:memory_used:ratio{_HERE}", _NODE),),
                    unit="percentunit",
                    limits=(Limit(0.9),),
                ),
                Panel(
                    "Temperature",
                    (Query(f"node_gpu:temperature:celsius{_HERE}", _NODE),),
                    unit="celsius",
                    limits=(Limit(88),),
                ),
                Panel(
                    "Power of servers",
                    (
                        Query(
                            f"sum by (tiers_pool, node) (DCGM_FI_DEV_POWER_USAGE{_HERE})",
                            "{{tiers_pool}} {{node}}",
                        ),
                    ),
                    unit="watt",
                    stacked=True,
                ),
                Panel(
                    "Slowed down",
                    (
                        Query(f"rate(DCGM_FI_DEV_THERMAL_VIOLATION{_HERE}[5m]) / 1e9", f"{_NODE} by heat"),
                        Query(f"rate(DCGM_FI_DEV_POWER_VIOLATION{_HERE}[5m]) / 1e9", f"{_NODE} by power"),
                    ),
                    unit="percentunit",
                    limits=(Limit(0.05, "orange"),),
                    explains="Share of time. By heat: look at fans and air. By power: that is how the card was set.",
                ),
                Panel(
                    "Memory errors that were not corrected",
                    (
                        Query(f"increase(DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{_HERE}[1h])", _NODE),
                        Query(f"DCGM_FI_DEV_ROW_REMAP_FAILURE{_HERE}", f"{_NODE} no row left"),
                    ),
                    limits=(Limit(1),),
                    explains="Drain the machine and have the card changed.",
                ),
            ),
        ),
    ),
)
