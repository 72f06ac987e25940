"""The names of series that exist: dcgm-exporter's, as far as its own list turns them on, and Volcano's.

Used by `monitoring_metrics`. Sources: dcgm-exporter 4.5.3-4.8.2, etc/dcp-metrics-included.csv; volcano-sh/volcano
v1.15.1, every promauto.New… below pkg (a test reads them again, tests/toolkit/lint/test_lint_upstream.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from toolkit.lint.document import mapping
from toolkit.lint.neighbours import Neighbours, once_a_run

_DEVICE = (
    "SM_CLOCK", "MEM_CLOCK", "MEMORY_TEMP", "GPU_TEMP", "POWER_USAGE", "TOTAL_ENERGY_CONSUMPTION",
    "PCIE_REPLAY_COUNTER", "GPU_UTIL", "MEM_COPY_UTIL", "ENC_UTIL", "DEC_UTIL", "XID_ERRORS", "FB_FREE",
    "FB_USED", "FB_RESERVED", "NVLINK_BANDWIDTH_TOTAL", "VGPU_LICENSE_STATUS",
    "UNCORRECTABLE_REMAPPED_ROWS", "CORRECTABLE_REMAPPED_ROWS", "ROW_REMAP_FAILURE",
)  # fmt: skip
_PROFILE = ["GR_ENGINE_ACTIVE", "PIPE_TENSOR_ACTIVE", "DRAM_ACTIVE", "PCIE_TX_BYTES", "PCIE_RX_BYTES"]
DCGM_ON = frozenset(
    {f"DCGM_FI_DEV_{name}" for name in _DEVICE}
    | {f"DCGM_FI_PROF_{name}" for name in _PROFILE}
    | {"DCGM_FI_DRIVER_VERSION"}
)
"""What dcgm-exporter gives without a list of one's own."""
_DCGM_COUNTERS = frozenset({
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
    "DCGM_FI_DEV_PCIE_REPLAY_COUNTER",
    "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL",
    "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS",
    "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS",
})  # fmt: skip
_HISTOGRAMS = (
    "e2e_scheduling_latency_milliseconds", "e2e_job_scheduling_latency_milliseconds",
    "open_session_duration_milliseconds", "plugin_scheduling_latency_milliseconds",
    "action_scheduling_latency_milliseconds", "task_scheduling_latency_milliseconds",
    "scheduling_stage_duration_milliseconds", "controller_job_to_pod_creation_latency_milliseconds",
    "worker_scheduling_cycle_duration_milliseconds", "update_snapshot_duration_milliseconds",
)  # fmt: skip
_COUNTERS = (
    "total_preemption_attempts", "job_retry_counts", "job_completed_phase_count", "job_failed_phase_count",
    "jobflow_failed_phase_count", "jobflow_succeed_phase_count",
)  # fmt: skip
_GAUGES = (
    "e2e_job_scheduling_duration", "e2e_job_scheduling_start_time", "e2e_job_scheduling_last_time",
    "pod_preemption_victims", "unschedule_task_count", "unschedule_job_count", "job_share",
    "namespace_share", "namespace_weight", "namespace_weighted_share", "goroutines", "queue_share",
    "queue_weight", "queue_overused", "agent_oversubscription_resource_quantity",
)  # fmt: skip
_QUEUE = [
    f"queue_{what}_{unit}"
    for what in ("allocated", "request", "deserved", "capacity", "real_capacity")
    for unit in ("milli_cpu", "memory_bytes", "scalar_resources")
] + [f"queue_pod_group_{state}_count" for state in ("inqueue", "pending", "running", "unknown", "completed")]
_SHARED_GPU = (
    "vgpu_device_memory_limit", "vgpu_device_shared_number", "vgpu_device_allocated_memory",
    "vgpu_device_allocated_cores", "vgpu_device_memory_allocation_for_a_certain_pod",
    "vgpu_device_core_allocation_for_a_certain_pod",
)  # fmt: skip
VOLCANO_GAUGES = frozenset(f"volcano_{name}" for name in (*_GAUGES, *_QUEUE, *_SHARED_GPU))
"""Volcano's series that go up and down."""
VOLCANO = frozenset(
    VOLCANO_GAUGES
    | {f"volcano_{name}" for name in _COUNTERS}
    | {f"volcano_{name}_{part}" for name in _HISTOGRAMS for part in ("bucket", "sum", "count")}
)
"""Every series that Volcano gives."""
VOLCANO_DEAD = "volcano_schedule_attempts_total"
"""Registered, and no line of v1.15.1 counts it up: a counter with labels that is never touched gives no series."""
GAUGES = VOLCANO_GAUGES | (DCGM_ON - _DCGM_COUNTERS)
"""Series that surely go up and down."""
_CSV_LINE = re.compile(r"^\s*(DCGM_\w+)\s*,", re.MULTILINE)


@once_a_run
def dcgm_listed(around: Neighbours) -> frozenset[str]:
    """Name the metrics that ConfigMaps of the run turn on in dcgm-exporter; empty when none holds such a list."""
    return frozenset(
        name
        for each in around.of("ConfigMap")
        for content in _texts(mapping(each.body.get("data")))
        for name in _CSV_LINE.findall(content)
    )


def _texts(data: Mapping[str, object]) -> list[str]:
    return [content for content in data.values() if isinstance(content, str)]
