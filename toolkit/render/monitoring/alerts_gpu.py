"""Alerts about GPUs: memory, broken memory cells, heat, and what the driver reports as Xid.

A part of the catalogue that `rules` completes. DCGM's gauge of the last Xid never goes back to 0, so only a change
counts; a first Xid shows as a change only when the exporter was there before it.
"""

# ruff: noqa: E501  # sentences for people

from __future__ import annotations

from typing import Final

from toolkit.render.monitoring import limits
from toolkit.render.monitoring.model import Alert, Subject

_HOTTEST = 88
"""°C; data-centre GPUs slow themselves down a little above (DCGM's own recommendation)."""

GPU_ALERTS: Final = (
    Alert(
        name="TiersGpuMemoryHigh",
        severity="warning",
        subject=Subject.ANY_GPU,
        expr="node_gpu:memory_used:ratio{$ours} > $limit",
        hold="$after",
        summary="GPU {{ $labels.gpu }} of {{ $labels.node }} is nearly full",
        description="{{ $value | humanizePercentage }} of its memory is in use.",
        means="More than alerts.gpu_memory of a GPU's memory is in use; on a Jetson of the memory that GPU and processor share.",
        why="The next model or a larger batch does not fit, and a program that asks for more is ended.",
        next=("tiers fleet status", "kubectl get pods -A -o wide --field-selector spec.nodeName=NODE"),
        limit=limits.gpu_memory,
        key="alerts.gpu_memory",
    ),
    Alert(
        name="TiersGpuEcc",
        severity="critical",
        subject=Subject.GPUS,
        expr=(
            "increase(DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{$ours}[10m]) > 0"
            " or increase(DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS{$ours}[1h]) > 0"
            " or DCGM_FI_DEV_ROW_REMAP_FAILURE{$ours} == 1"
        ),
        hold="0s",
        summary="GPU {{ $labels.gpu }} of {{ $labels.node }} has lost memory",
        description="Errors that could not be corrected: results of this GPU may have been wrong.",
        means="A GPU's memory had an error that could not be corrected, or a broken row could not be replaced.",
        why="The program that used the memory was ended or has wrong numbers. The GPU needs a reset, after a failed replacement an exchange.",
        next=("kubectl cordon NODE", "kubectl get pods -A -o wide --field-selector spec.nodeName=NODE", "nvidia-smi -q -d ECC,ROW_REMAPPER   # on the node"),
    ),
    Alert(
        name="TiersGpuThrottled",
        severity="warning",
        subject=Subject.ANY_GPU,
        expr=(
            "rate(DCGM_FI_DEV_THERMAL_VIOLATION{$ours}[5m]) / 1e9 > 0.05"
            " or increase(edge_gpu_throttle_events_total{$ours}[5m]) > 0"
            f" or node_gpu:temperature:celsius{{$ours}} > {_HOTTEST}"
        ),
        hold="2m",
        summary="GPU {{ $labels.gpu }} of {{ $labels.node }} is slowed down",
        description="Heat or current keeps it below its speed.",
        means=f"A GPU spent more than a twentieth of the time slowed down by heat, a Jetson was slowed down by current, or it is hotter than {_HOTTEST} °C.",
        why="Everything on it takes longer, and a gang is as fast as its slowest GPU. Look at fans, filters and the room.",
        next=("nvidia-smi -q -d PERFORMANCE,TEMPERATURE   # on the node", "tegrastats   # on a Jetson"),
    ),
    Alert(
        name="TiersGpuXid",
        severity="warning",
        subject=Subject.GPUS,
        expr="DCGM_FI_DEV_XID_ERRORS{$ours} != 0 and changes(DCGM_FI_DEV_XID_ERRORS{$ours}[10m]) > 0",
        hold="0s",
        summary="GPU {{ $labels.gpu }} of {{ $labels.node }} reported Xid {{ $value }}",
        description="{{ with $labels.err_msg }}{{ . }}{{ else }}See NVIDIA's list of Xid errors.{{ end }}",
        means="The driver reported an error of a GPU within the last ten minutes.",
        why="13, 31 and 43 are mostly a program's fault, 48, 63, 64, 74, 79 and 94 the hardware's; the number is in the alert.",
        next=("dmesg | grep -i xid   # on the node", "kubectl cordon NODE   # when it is the hardware"),
    ),
    Alert(
        name="TiersGpusUnwatched",
        severity="warning",
        subject=Subject.GPUS,
        expr="absent(DCGM_FI_DEV_FB_USED{$ours})",
        hold="10m",
        summary="No GPU of a server is watched",
        description="The DCGM exporters give no figures, so no other alert about GPUs can come.",
        means="Prometheus has no figures of DCGM at all.",
        why="Silence is not health: every other alert about servers' GPUs is blind, and autoscaling by GPU stands still.",
        next=("kubectl -n NAMESPACE get daemonset -l tiers.dev/part-of=monitoring", "kubectl -n NAMESPACE logs POD"),
    ),
)  # fmt: skip
