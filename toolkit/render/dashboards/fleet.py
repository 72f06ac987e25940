"""The dashboard "fleet": the devices, whether they are there, what they run, and what stands in their way."""

from __future__ import annotations

from typing import Final

from toolkit.render.dashboards.description import Choice, Dashboard, Limit, Panel, Query, Row

_HERE = '{$ours, tiers_tier="edge", tiers_pool=~"$pool"}'

FLEET: Final = Dashboard(
    name="fleet",
    title="Fleet",
    explains="Devices at the edge: who answers, which models they serve, what fails.",
    choices=(Choice("pool", "tiers_pool", "edge_info"),),
    rows=(
        Row(
            "Now",
            (
                Panel(
                    "Devices asked",
                    (Query(f"sum(tiers_pool:nodes:count{_HERE})"),),
                    kind="stat",
                    width=4,
                    explains="Devices that Prometheus has in its list (monitoring.devices).",
                ),
                Panel(
                    "Answering",
                    (Query(f"sum(tiers_pool:nodes_up:count{_HERE})"),),
                    kind="stat",
                    width=4,
                    explains="Devices that answered the last question. Who does not: tiers fleet status.",
                ),
                Panel(
                    "Without the broker",
                    (Query(f"sum(1 - edge_connected{_HERE})"),),
                    kind="stat",
                    width=4,
                    limits=(Limit(1, "orange"),),
                    explains="Devices that serve but cannot reach the broker; they get no new model.",
                ),
                Panel(
                    "Models not served",
                    (Query(f"sum(1 - edge_model_ready{_HERE})"),),
                    kind="stat",
                    width=4,
                    limits=(Limit(1),),
                    explains="Models of tiers.yaml for which a device has no version that works.",
                ),
                Panel(
                    "Documents refused",
                    (Query(f"sum(increase(edge_documents_refused_total{_HERE}[1h]))"),),
                    kind="stat",
                    width=4,
                    limits=(Limit(1, "orange"),),
                    explains="In the last hour: wrong signatures, older versions, formats that nobody knows.",
                ),
                Panel(
                    "Loads failed",
                    (
                        Query(
                            'sum(increase(edge_model_loads_total{$ours, tiers_tier="edge", result="failed"}[1h]))'
                        ),
                    ),
                    kind="stat",
                    width=4,
                    limits=(Limit(1),),
                    explains="In the last hour. Why: tiers fleet status DEVICE.",
                ),
            ),
        ),
        Row(
            "Installations",
            (
                Panel(
                    "Devices by state of installation",
                    (Query(f"sum by (model, state) (edge_install_state{_HERE})", "{{model}} {{state}}"),),
                    stacked=True,
                    explains="A rollout moves devices from ACTIVE through DOWNLOADING and PROBATION back to ACTIVE.",
                ),
                Panel(
                    "Versions of the daemon",
                    (
                        Query(
                            f"count by (tiers, onnxruntime, tensorrt, device_model, l4t) (edge_info{_HERE})",
                        ),
                    ),
                    kind="table",
                    explains="What the devices are; rows of few devices are those that were forgotten.",
                ),
                Panel(
                    "Loads of models",
                    (
                        Query(
                            f"sum by (model, result) (increase(edge_model_loads_total{_HERE}[1h]))",
                            "{{model}} {{result}}",
                        ),
                    ),
                    explains="Versions that were opened in the last hour, checks before a switch included.",
                ),
                Panel(
                    "Answering by pool",
                    (
                        Query(f"sum by (tiers_pool) (tiers_pool:nodes_up:count{_HERE})", "{{tiers_pool}}"),
                        Query(
                            f"sum by (tiers_pool) (tiers_pool:nodes:count{_HERE})", "{{tiers_pool}} in all"
                        ),
                    ),
                    explains="A whole pool that goes at once is a line or a switch, not devices.",
                ),
            ),
        ),
        Row(
            "Machines",
            (
                Panel(
                    "Least free disk",
                    (Query(f"min by (tiers_pool) (edge_disk_free_bytes{_HERE})", "{{tiers_pool}}"),),
                    unit="bytes",
                    explains="Of the fullest device of each pool.",
                ),
                Panel(
                    "Longest queue",
                    (
                        Query(
                            f"max by (tiers_pool, model) (tiers_node:queue_depth:max{_HERE})",
                            "{{tiers_pool}} {{model}}",
                        ),
                    ),
                    explains="Requests that wait on the busiest device; beyond serving.queue new ones are refused.",
                ),
            ),
        ),
    ),
)
