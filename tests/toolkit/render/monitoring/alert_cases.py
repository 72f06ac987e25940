"""For every alert what makes it fire and what must not, as series of promtool's notation with one sample a minute.

`test_alerts` runs them on the rules of tests/golden/monitoring (limits: 500 ms, 90 %, 1 %, 100, 5 minutes, after 1
minute). `early` is a minute at which a firing case must still be quiet, because it does not hold long enough yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

TOPOLOGY = {"tiers_topology": "watched"}
DEVICES = TOPOLOGY | {"tiers_cluster": "main", "tiers_tier": "edge", "tiers_pool": "ultrasound"}
DEVICE = DEVICES | {"node": "ultrasound-001"}
SERVICE = TOPOLOGY | {
    "tiers_cluster": "main", "tiers_tier": "hot", "tiers_pool": "a100", "tiers_service": "answers",
}  # fmt: skip
GPU = TOPOLOGY | {
    "tiers_cluster": "main", "tiers_tier": "hot", "tiers_pool": "a100", "node": "gpu-1", "gpu": "3",
}  # fmt: skip
JETSON = DEVICE | {"gpu": "0"}
MODEL = {"model": "polyps"}
VERSION = MODEL | {"version": "v1"}
QUEUE = {"queue_name": "watched-research"}
GPUS = QUEUE | {"resource": "nvidia.com/gpu"}
ROUTE = {"route": "frames"}
CRON_JOB = {"namespace": "watched", "cronjob": "tiers-sync-hot-studies"}


def series(name: str, labels: dict[str, str], **more: str) -> str:
    """Write a series: `up{job="tiers-edge"}`."""
    inside = ",".join(f'{key}="{value}"' for key, value in sorted({**labels, **more}.items()))
    return f"{name}{{{inside}}}"


@dataclass(frozen=True)
class Fires:
    """Input and the labels of the alert that fires at minute `at`, besides severity and tiers_topology."""

    alert: str
    at: int
    labels: dict[str, str]
    inputs: dict[str, str]
    early: int | None = None


@dataclass(frozen=True)
class Silent:
    """Input on which the alert is quiet at minute `at`."""

    alert: str
    at: int
    inputs: dict[str, str] = field(default_factory=dict)


def answers(place: dict[str, str], *, below_half_a_second: float, every: float) -> dict[str, str]:
    """Give a histogram: of `every` answers a minute so many take half a second at most, none more than one."""
    bucket = place | VERSION
    name = "edge_inference_latency_seconds_bucket"
    return {
        series(name, bucket, le="0.25"): "0x30",
        series(name, bucket, le="0.5"): f"0+{below_half_a_second}x30",
        series(name, bucket, le="1.0"): f"0+{every}x30",
        series(name, bucket, le="+Inf"): f"0+{every}x30",
        series("edge_inference_requests_total", bucket, outcome="ok"): f"0+{every}x30",
    }


def loads(ok: str, failed: str) -> dict[str, str]:
    """Give both counters of a model's loads."""
    place = DEVICE | MODEL
    return {
        series("edge_model_loads_total", place, result="ok"): ok,
        series("edge_model_loads_total", place, result="failed"): failed,
    }


def waiting(values: str) -> dict[str, str]:
    """Give the length of a model's queue on one device."""
    return {series("edge_inference_pending_requests", DEVICE | VERSION): values}


def memory(used: int, free: int, reserved: int | None = None) -> dict[str, str]:
    """Give a GPU's memory in MiB."""
    found = {
        series("DCGM_FI_DEV_FB_USED", GPU): f"{used}x20",
        series("DCGM_FI_DEV_FB_FREE", GPU): f"{free}x20",
    }
    return found | ({} if reserved is None else {series("DCGM_FI_DEV_FB_RESERVED", GPU): f"{reserved}x20"})


def shared(used: int, total: int) -> dict[str, str]:
    """Give a Jetson's memory."""
    return {
        series("edge_gpu_memory_used_bytes", JETSON): f"{used}x20",
        series("edge_gpu_memory_total_bytes", JETSON): f"{total}x20",
    }


def gpus_of_queue(pending: int, allocated: int, deserved: int) -> dict[str, str]:
    """Give a queue's waiting gangs and GPUs (thousandths)."""
    return {
        series("volcano_queue_pod_group_pending_count", QUEUE): f"{pending}x60",
        series("volcano_queue_allocated_scalar_resources", GPUS): f"{allocated}x60",
        series("volcano_queue_deserved_scalar_resources", GPUS): f"{deserved}x60",
    }


def outbox(used: str, budget: int) -> dict[str, str]:
    """Give a device's outbox."""
    return {
        series("edge_outbox_bytes", DEVICE): used,
        series("edge_outbox_budget_bytes", DEVICE): f"{budget}x80",
    }


def installing(state: str, values: str, node: str = "ultrasound-001") -> dict[str, str]:
    """Give the state of a model's installation on one device."""
    return {series("edge_install_state", DEVICES | MODEL, node=node, state=state): values}


def synced(values: str) -> dict[str, str]:
    """Give when a route of one minute's period was last carried out; time begins at 0."""
    place = DEVICE | ROUTE
    return {
        series("tiers_sync_last_success_timestamp_seconds", place): values,
        series("tiers_sync_period_seconds", place): "60x30",
    }


def cron_job(succeeded: str, *, period: int = 60, namespace: str = "watched") -> dict[str, str]:
    """Give the times of a CronJob that was made at 0 and starts each `period` seconds; time begins at 0."""
    labels = CRON_JOB | {"namespace": namespace}
    return {
        series("kube_cronjob_created", labels): "0x30",
        series("kube_cronjob_status_last_successful_time", labels): succeeded,
        series("kube_cronjob_status_last_schedule_time", labels): "0+60x30",
        series("kube_cronjob_next_schedule_time", labels): f"{period}+60x30",
    }


EDGE_UP = series("up", DEVICE, job="tiers-edge")
SERVER = SERVICE | {"node": "gpu-1", "job": "tiers-service", "instance": "10.0.0.7:8443"}
SERVER_UP = series("up", SERVER)
READY = series("kube_node_status_condition", {}, node="gpu-1", condition="Ready", status="true")
PRESSURE = series("kube_node_status_condition", {}, node="gpu-1", condition="DiskPressure", status="true")
INQUEUE, UNKNOWN = "volcano_queue_pod_group_inqueue_count", "volcano_queue_pod_group_unknown_count"
ROUNDS = series("volcano_e2e_scheduling_latency_milliseconds_count", {})
XID = GPU | {"err_code": "79", "err_msg": "GPU has fallen off the bus"}

CASES: tuple[Fires | Silent, ...] = (
    Fires(
        "TiersLatencyHigh", 5, DEVICES | MODEL, answers(DEVICE, below_half_a_second=98, every=100), early=1
    ),
    Fires("TiersLatencyHigh", 5, SERVICE | MODEL, answers(SERVICE, below_half_a_second=98, every=100)),
    Silent("TiersLatencyHigh", 5, answers(DEVICE, below_half_a_second=100, every=100)),
    Silent("TiersLatencyHigh", 5, answers(DEVICE, below_half_a_second=0, every=5)),
    # ------------------------------------------------------------------
    Fires("TiersQueueBacklog", 5, DEVICE | MODEL, waiting("100x10"), early=0),
    Silent("TiersQueueBacklog", 5, waiting("99x10")),
    # ------------------------------------------------------------------
    Fires("TiersQueueWillOverflow", 15, DEVICE | MODEL, waiting("20+2x20"), early=11),
    Silent("TiersQueueWillOverflow", 15, waiting("20+1x20")),
    Silent("TiersQueueWillOverflow", 15, waiting("100x20")),
    Silent("TiersQueueWillOverflow", 6, waiting("0+3x6")),
    # ------------------------------------------------------------------
    Fires("TiersModelLoadFailures", 16, DEVICES | MODEL, loads("0+20x20", "0x9 5x10")),
    Silent("TiersModelLoadFailures", 16, loads("0+20x20", "0x9 2x10")),
    Silent("TiersModelLoadFailures", 20, loads("3x30", "1x30")),
    # ------------------------------------------------------------------
    Fires("TiersNodeOffline", 8, DEVICE | {"job": "tiers-edge"}, {EDGE_UP: "1 0x10"}, early=5),
    Silent("TiersNodeOffline", 8, {EDGE_UP: "1 0x3 1x10"}),
    Silent("TiersNodeOffline", 8, {SERVER_UP: "0x10"}),
    # ------------------------------------------------------------------
    Fires(
        "TiersServerUnreachable",
        8,
        SERVER,
        {SERVER_UP: "1 0x10"},
        early=5,
    ),
    Silent("TiersServerUnreachable", 8, {SERVER_UP: "1x10"}),
    Silent("TiersServerUnreachable", 8, {EDGE_UP: "0x10"}),
    # ------------------------------------------------------------------
    Fires(
        "TiersNodeNotReady",
        8,
        {"node": "gpu-1", "condition": "Ready", "status": "true"},
        {READY: "1 0x10"},
        early=5,
    ),
    Silent("TiersNodeNotReady", 8, {READY: "1x10", PRESSURE: "0x10"}),
    # ------------------------------------------------------------------
    Fires("TiersFleetUnwatched", 6, {"job": "tiers-edge"}, {SERVER_UP: "1x10"}, early=4),
    Silent("TiersFleetUnwatched", 6, {EDGE_UP: "0x10"}),
    # ------------------------------------------------------------------
    Fires("TiersGpuMemoryHigh", 3, GPU, memory(95, 5), early=0),
    Fires("TiersGpuMemoryHigh", 3, JETSON, shared(95, 100)),
    Silent("TiersGpuMemoryHigh", 3, memory(90, 10)),
    Silent("TiersGpuMemoryHigh", 3, memory(95, 5, reserved=10)),
    Silent("TiersGpuMemoryHigh", 3, shared(90, 100)),
    # ------------------------------------------------------------------
    Fires("TiersGpuEcc", 5, GPU, {series("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", GPU): "0 0 1x10"}),
    Fires("TiersGpuEcc", 5, GPU, {series("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", GPU): "2 2 3x10"}),
    Fires("TiersGpuEcc", 5, GPU, {series("DCGM_FI_DEV_ROW_REMAP_FAILURE", GPU): "0 1x10"}),
    Silent(
        "TiersGpuEcc",
        5,
        {
            series("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", GPU): "1x10",
            series("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", GPU): "3x10",
            series("DCGM_FI_DEV_ROW_REMAP_FAILURE", GPU): "0x10",
        },
    ),
    # ------------------------------------------------------------------
    Fires(
        "TiersGpuThrottled",
        8,
        GPU,
        {series("DCGM_FI_DEV_THERMAL_VIOLATION", GPU): "0+3600000000x10"},
        early=5,
    ),
    Fires("TiersGpuThrottled", 5, JETSON, {series("edge_gpu_throttle_events_total", JETSON): "0+1x10"}),
    Fires("TiersGpuThrottled", 5, GPU, {series("DCGM_FI_DEV_GPU_TEMP", GPU): "89x10"}),
    Fires("TiersGpuThrottled", 5, JETSON, {series("edge_gpu_temperature_celsius", JETSON): "89x10"}),
    Silent(
        "TiersGpuThrottled",
        5,
        {
            series("DCGM_FI_DEV_THERMAL_VIOLATION", GPU): "0+2400000000x10",
            series("DCGM_FI_DEV_GPU_TEMP", GPU): "88x10",
            series("edge_gpu_throttle_events_total", JETSON): "4x10",
            series("edge_gpu_temperature_celsius", JETSON): "88x10",
        },
    ),
    # ------------------------------------------------------------------
    Fires("TiersGpuXid", 5, XID, {series("DCGM_FI_DEV_XID_ERRORS", XID): "0 0 79x10"}),
    Silent("TiersGpuXid", 5, {series("DCGM_FI_DEV_XID_ERRORS", XID): "79x10"}),
    Silent("TiersGpuXid", 5, {series("DCGM_FI_DEV_XID_ERRORS", XID): "31 31 0x10"}),
    # ------------------------------------------------------------------
    Fires("TiersGpusUnwatched", 11, {}, {EDGE_UP: "1x20"}, early=9),
    Silent("TiersGpusUnwatched", 11, {series("DCGM_FI_DEV_FB_USED", GPU): "0x20"}),
    # ------------------------------------------------------------------
    Fires("TiersGangStuck", 20, QUEUE, {series(INQUEUE, QUEUE): "1x30"}, early=14),
    Silent("TiersGangStuck", 20, {series(INQUEUE, QUEUE): "0x30"}),
    Silent("TiersGangStuck", 20, {series(INQUEUE, {"queue_name": "another"}): "1x30"}),
    # ------------------------------------------------------------------
    Fires("TiersGangBroken", 6, QUEUE, {series(UNKNOWN, QUEUE): "1x10"}, early=4),
    Silent("TiersGangBroken", 6, {series(UNKNOWN, QUEUE): "0x10"}),
    Silent("TiersGangBroken", 6, {series(UNKNOWN, {"queue_name": "another"}): "1x10"}),
    # ------------------------------------------------------------------
    Fires("TiersQueueStarved", 31, QUEUE, gpus_of_queue(1, 4000, 8000), early=29),
    Silent("TiersQueueStarved", 31, gpus_of_queue(1, 8000, 8000)),
    Silent("TiersQueueStarved", 31, gpus_of_queue(0, 4000, 8000)),
    # ------------------------------------------------------------------
    Fires("TiersVolcanoUnwatched", 16, {}, {EDGE_UP: "1x20"}, early=14),
    Silent("TiersVolcanoUnwatched", 16, {ROUNDS: "0x20"}),
    # ------------------------------------------------------------------
    Fires(
        "TiersRolloutStuck",
        70,
        DEVICES | MODEL | {"state": "DOWNLOADING"},
        installing("DOWNLOADING", "1x80"),
        early=64,
    ),
    Silent("TiersRolloutStuck", 70, installing("ACTIVE", "1x80")),
    Silent(
        "TiersRolloutStuck",
        70,
        installing("DOWNLOADING", "1x50 _x30")
        | installing("DOWNLOADING", "_x51 1x29", node="ultrasound-002"),
    ),
    # ------------------------------------------------------------------
    Fires("TiersOutboxFilling", 6, DEVICE, outbox("81x10", 100), early=4),
    Silent("TiersOutboxFilling", 6, outbox("80x10", 100)),
    # ------------------------------------------------------------------
    Fires("TiersOutboxWillOverflow", 20, DEVICE, outbox("0+1x40", 200), early=15),
    Silent("TiersOutboxWillOverflow", 20, outbox("0+0.5x40", 200)),
    # ------------------------------------------------------------------
    Fires("TiersDiskWillFill", 35, DEVICE, {series("edge_disk_free_bytes", DEVICE): "1000-1x60"}, early=30),
    Silent("TiersDiskWillFill", 35, {series("edge_disk_free_bytes", DEVICE): "2000-1x60"}),
    # ------------------------------------------------------------------
    Fires("TiersSyncBehind", 10, DEVICE | ROUTE, synced("0x20"), early=8),
    Silent("TiersSyncBehind", 10, synced("0+60x20")),
    # ------------------------------------------------------------------
    Fires("TiersSyncJobBehind", 10, CRON_JOB, cron_job("0x20"), early=8),
    Fires("TiersSyncJobBehind", 10, CRON_JOB, cron_job("_x20")),
    Silent("TiersSyncJobBehind", 10, cron_job("0+60x20")),
    Silent("TiersSyncJobBehind", 10, cron_job("0x20", period=200)),
    Silent("TiersSyncJobBehind", 10, cron_job("0x20", namespace="another")),
    # ------------------------------------------------------------------
    Fires("TiersKubernetesUnwatched", 16, {}, {EDGE_UP: "1x20"}, early=14),
    Silent("TiersKubernetesUnwatched", 16, {READY: "0x20"}),
)
"""All cases; an alert without a firing and a silent one fails `test_alerts`."""
