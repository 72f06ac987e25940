"""Alerts about work that does not move: gangs, rollouts, data, disks.

A part of the catalogue that `rules` completes. Gangs are seen by queue: Volcano's figures by job have as many labels as
there were jobs. A device's own state says where a rollout stands, also when nobody drives it.
"""

# ruff: noqa: E501  # sentences for people

from __future__ import annotations

from typing import Final

from toolkit.render.monitoring.model import Alert, Subject

_MOVING = "OFFERED|SEEDING|DOWNLOADING|VERIFYING|STAGED|ACTIVATING"
"""States of wire.states.InstallState in which a device works; it waits in WAITING_WINDOW and PROBATION on purpose."""
_MOVES = f'edge_install_state{{$ours, state=~"{_MOVING}"}}'
_CRONS = '{namespace=~"$namespaces", cronjob=~"tiers-sync-.*"}'
_GPU_RESOURCE = 'resource="nvidia.com/gpu"'

WORK_ALERTS: Final = (
    Alert(
        name="TiersGangStuck",
        severity="warning",
        subject=Subject.GANGS,
        expr='sum by (queue_name) (volcano_queue_pod_group_inqueue_count{queue_name=~"$queues"}) > 0',
        hold="15m",
        summary="A gang of queue {{ $labels.queue_name }} was let in and does not start",
        description="{{ $value }} gangs hold a place in the queue for more than 15 minutes and do not run.",
        means="Volcano let a gang in, but has not found machines for all of its workers for 15 minutes.",
        why="It counts against the queue while nobody works. Usual causes: machines too full in the wrong way, a taint, an image that cannot be pulled.",
        next=("tiers job list", "tiers job status JOB", "tiers job plan JOB"),
    ),
    Alert(
        name="TiersGangBroken",
        severity="warning",
        subject=Subject.GANGS,
        expr='sum by (queue_name) (volcano_queue_pod_group_unknown_count{queue_name=~"$queues"}) > 0',
        hold="5m",
        summary="A gang of queue {{ $labels.queue_name }} runs in part",
        description="{{ $value }} gangs have fewer workers than they need and hold the GPUs of the rest.",
        means="A part of a gang's workers is gone and the others still hold their GPUs.",
        why="The rest waits for workers that do not come back. A retry after `evicted` starts the gang again.",
        next=("tiers job list", "tiers job status JOB", "tiers job suspend JOB", "tiers job resume JOB"),
    ),
    Alert(
        name="TiersQueueStarved",
        severity="warning",
        subject=Subject.GANGS,
        expr=(
            'volcano_queue_pod_group_pending_count{queue_name=~"$queues"} > 0 and on (queue_name)'
            f' (sum by (queue_name) (volcano_queue_allocated_scalar_resources{{queue_name=~"$queues", {_GPU_RESOURCE}}})'
            f' < sum by (queue_name) (volcano_queue_deserved_scalar_resources{{queue_name=~"$queues", {_GPU_RESOURCE}}}))'
        ),
        hold="30m",
        summary="Queue {{ $labels.queue_name }} does not get its share",
        description="{{ $value }} gangs wait, although the queue has fewer GPUs than it deserves.",
        means="Gangs wait in a queue that uses fewer GPUs than it deserves, for half an hour.",
        why="Others use its share and are not asked to give it back, or the free GPUs are spread over too many machines.",
        next=("tiers job list", "tiers job plan JOB", "tiers doctor"),
    ),
    Alert(
        name="TiersVolcanoUnwatched",
        severity="info",
        subject=Subject.GANGS,
        expr="absent(volcano_e2e_scheduling_latency_milliseconds_count)",
        hold="15m",
        summary="Nobody watches Volcano",
        description="Prometheus has no figures of Volcano's scheduler, so no alert about gangs can come.",
        means="Prometheus has no figures of Volcano's scheduler.",
        why="Silence is not health: alerts about gangs are blind. The scheduler needs --enable-metrics and a ServiceMonitor.",
        next=("kubectl -n volcano-system get servicemonitor", "kubectl -n volcano-system get deploy volcano-scheduler -o yaml"),
    ),
    Alert(
        name="TiersRolloutStuck",
        severity="warning",
        subject=Subject.DAEMONS,
        expr=f"count by ($place, model, state) ({_MOVES} == 1 and {_MOVES} offset 1h == 1)",
        hold="5m",
        summary="{{ $value }} machines of {{ $labels.tiers_pool }} do not get on with {{ $labels.model }}",
        description="They have been in the state {{ $labels.state }} for an hour.",
        means="There were devices of a pool on their way to a new version in the same state for an hour.",
        why="DOWNLOADING: the line is slow or the depot does not answer. VERIFYING and STAGED: the disk or the check of the golden inputs is slow. A large rollout over a slow line may take that long.",
        next=("tiers rollout status MODEL", "tiers fleet status", "tiers rollout pause MODEL"),
    ),
    Alert(
        name="TiersOutboxFilling",
        severity="warning",
        subject=Subject.DEVICES,
        expr="edge_outbox_bytes{$ours} / edge_outbox_budget_bytes{$ours} > 0.8",
        hold="5m",
        summary="The outbox of {{ $labels.node }} is nearly full",
        description="{{ $value | humanizePercentage }} of its budget is used by data that was not sent yet.",
        means="Four fifths of the bytes that may wait on a device are used.",
        why="When it is full the oldest data is dropped (and counted). The line is down or slower than what is collected.",
        next=("tiers fleet status", "tiers explain tiers.edge.settings.outbox"),
    ),
    Alert(
        name="TiersOutboxWillOverflow",
        severity="warning",
        subject=Subject.DEVICES,
        expr="predict_linear(edge_outbox_bytes{$ours}[1h], 4 * 3600) > edge_outbox_budget_bytes{$ours}",
        hold="15m",
        summary="The outbox of {{ $labels.node }} will be full within four hours",
        description="At this pace {{ $value | humanize1024 }}B will wait, more than may.",
        means="The line through the last hour of the outbox's size passes its budget within four hours.",
        why="There is still time to bring the line back before data is dropped.",
        next=("tiers fleet status", "tiers explain tiers.edge.settings.outbox"),
    ),
    Alert(
        name="TiersDiskWillFill",
        severity="warning",
        subject=Subject.DEVICES,
        expr="predict_linear(edge_disk_free_bytes{$ours}[6h], 24 * 3600) < 0",
        hold="30m",
        summary="The disk of {{ $labels.node }} will be full within a day",
        description="The last six hours' pace leaves no byte free in 24 hours.",
        means="The line through the last six hours of a device's free space reaches zero within a day.",
        why="Without space no new model can be taken and no data kept.",
        next=("ssh NODE df -h", "tiers explain tiers.edge.settings.disk"),
    ),
    Alert(
        name="TiersSyncBehind",
        severity="warning",
        subject=Subject.ROUTES,
        expr=(
            "time() - tiers_sync_last_success_timestamp_seconds{$ours} > 3 * tiers_sync_period_seconds{$ours}"
        ),
        hold="5m",
        summary="Route {{ $labels.route }} is behind",
        description="It was last carried out {{ $value | humanizeDuration }} ago.",
        means="A route was not carried out for three times its `every`.",
        why="Data piles up at its source. The line is down, the target refuses, or the route takes longer than its interval.",
        next=("tiers sync run ROUTE", "tiers sync verify ROUTE", "tiers fleet status"),
    ),
    Alert(
        name="TiersSyncJobBehind",
        severity="warning",
        subject=Subject.CRON_JOBS,
        expr=(
            f"time() - (kube_cronjob_status_last_successful_time{_CRONS} or kube_cronjob_created{_CRONS})"
            f" > 3 * (kube_cronjob_next_schedule_time{_CRONS} - kube_cronjob_status_last_schedule_time{_CRONS})"
        ),
        hold="5m",
        summary="{{ $labels.cronjob }} has not ended well for a long time",
        description="Its last good run was {{ $value | humanizeDuration }} ago.",
        means="A CronJob that runs a route has had no good run for three times its period.",
        why="Data piles up at its source. What the runs say stands in the logs of their pods.",
        next=("kubectl -n NAMESPACE get jobs", "kubectl -n NAMESPACE logs job/NAME", "tiers sync run ROUTE"),
    ),
)  # fmt: skip
