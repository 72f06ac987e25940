"""Every metric that a rule, an autoscaler or a dashboard reads, with its labels and who exports it.

The list behind docs/reference/metrics.md; a test holds the daemon's page and DCGM's CSV against it. Volcano's names are
those of its v1.15.1 sources, DCGM's those of dcgm-exporter 4.5's dcp-metrics-included.csv.
"""

# ruff: noqa: E501  # one row a line: a table is read by its columns

from __future__ import annotations

from typing import Final

from toolkit.render.monitoring.model import Series

DAEMON: Final = "tiers-edge"
AGENT: Final = "sync agent"
DEPOT: Final = "tiers depot"
DRIVER: Final = "tiers rollout run"
DCGM: Final = "DCGM exporter"
SCHEDULER: Final = "Volcano scheduler"
CONTROLLER: Final = "Volcano controller"
KUBE_STATE: Final = "kube-state-metrics"

_MODEL = ("model", "version")
_CARD = ("gpu", "UUID", "modelName", "pod", "namespace")
_QUEUE = ("queue_name",)
_CRON_JOB = ("namespace", "cronjob")
_ROUTES = "an agent that stays (not a CronJob's); devices with the edge daemon's landing"
_DEPOT = "--metrics, or depot.certificate in tiers.yaml"
_DRIVER = "--metrics, or driver.certificate in tiers.yaml; also of tiers depot --steer"
_ROLLOUT = ("rollout", "model")
_VOLCANO = "Volcano's chart with metrics on, and its ServiceMonitor"
_OPERATOR = "the Prometheus operator's chart (kube-prometheus-stack)"

SERIES: Final = (
    # ------------------------------------------------------------------ the daemon, on devices and in services
    Series("edge_inference_requests_total", "counter", DAEMON, (*_MODEL, "outcome"), "Requests by what became of them: ok, invalid, not_ready, shed (429), timeout, failed, cancelled."),
    Series("edge_inference_pending_requests", "gauge", DAEMON, _MODEL, "Requests that wait for the engine now; at most the model's serving.queue."),
    Series("edge_inference_latency_seconds", "histogram", DAEMON, _MODEL, "From a complete request to its answer, ok ones only; bounds from 0.5 ms to 10 s."),
    Series("edge_inference_queue_seconds", "histogram", DAEMON, _MODEL, "From admission to the engine."),
    Series("edge_inference_compute_seconds", "histogram", DAEMON, _MODEL, "One call of the engine."),
    Series("edge_inference_stages_seconds", "histogram", DAEMON, _MODEL, "Stages before or after the engine."),
    Series("edge_inference_batch_size", "histogram", DAEMON, _MODEL, "Rows of one call of the engine."),
    Series("edge_inference_batches_total", "counter", DAEMON, (*_MODEL, "reason"), "Calls of the engine by why they left: idle, gathered, loop, full, urgent, other_shape, delay, deadline, stop, repeated."),
    Series("edge_inference_shed_total", "counter", DAEMON, (*_MODEL, "reason", "priority"), "Requests that got no turn: full (refused at the door), displaced (a more urgent one took its place), deadline (over before its turn), ladder (refused while the machine is under pressure)."),
    Series("edge_ladder_rung", "gauge", DAEMON, ("model",), "How far a model's service is cut back: 0 full, 1 fallback, 2 larger batches, 3 offload, 4 batch requests shed, 5 normal ones too."),
    Series("edge_ladder_steps_total", "counter", DAEMON, ("model", "rung", "reason"), "Steps to this rung (full, fallback, larger, offload, shed_batch, shed_normal) and why: queue, deadlines, temperature, throttled, calm; start is the daemon's."),
    Series("edge_offload_requests_total", "counter", DAEMON, ("model", "outcome"), "Questions that went to another machine: ok, or failed (then they were answered here, if they could be)."),
    Series("edge_cache_requests_total", "counter", DAEMON, ("model", "result"), "Requests by where their answer came from: hit, disk_hit, shared (another asked the same), refused (the model failed for it a moment ago), miss.", "a model that keeps answers"),
    Series("edge_cache_bytes", "gauge", DAEMON, ("model", "store"), "Bytes of kept answers, in memory and on the disk.", "a model that keeps answers"),
    Series("edge_cache_evictions_total", "counter", DAEMON, ("model", "store"), "Answers that went because there was no room.", "a model that keeps answers"),
    Series("edge_cache_forgets_total", "counter", DAEMON, ("model",), "Messages to forget that were obeyed.", "a model that keeps answers"),
    Series("edge_cache_prefetches_total", "counter", DAEMON, ("model",), "Answers brought into memory before they were asked for.", "a model that keeps answers"),
    Series("edge_model_ready", "gauge", DAEMON, ("model",), "1 when a version is served."),
    Series("edge_engine_info", "gauge", DAEMON, (*_MODEL, "engine", "engine_version", "reason", "plan"), "Always 1; which engine runs a version, and why it is ONNX Runtime: configured, no-plans, no-gpu, no-tensorrt, unsuitable (TensorRT cannot have the model), failed (the log says why). plan: built or fetched."),
    Series("edge_model_loads_total", "counter", DAEMON, ("model", "result"), "Times that a version was opened, by a check before the switch or to serve: ok or failed."),
    Series("edge_model_loaded", "gauge", DAEMON, ("model",), "1 when a version is in memory; a lazy one is not before somebody asks."),
    Series("edge_first_request_seconds", "gauge", DAEMON, _MODEL, "How long the first answer of a version took, loading included; above 2 s is logged as a fault."),
    Series("edge_install_state", "gauge", DAEMON, ("model", "state"), "1 for the state that a model's installation is in; states of toolkit/wire/states.py, in capitals."),
    Series("edge_info", "gauge", DAEMON, ("tiers", "onnxruntime", "tensorrt", "architecture", "device_model", "l4t", "jetpack", "sm", "power_mode"), "Always 1; what this device is."),
    Series("edge_connected", "gauge", DAEMON, (), "1 while the broker is reached."),
    Series("edge_documents_refused_total", "counter", DAEMON, (), "Documents from the network that were not obeyed."),
    Series("edge_disk_free_bytes", "gauge", DAEMON, (), "Bytes that the daemon may still write beside its state folder."),
    Series("edge_http_road_bytes_total", "counter", DAEMON, (), "Bytes of chunks that came over HTTP ranges, and not over MQTT."),
    Series("edge_http_road_failures_total", "counter", DAEMON, (), "Times that the HTTP road failed and the rest came over MQTT; the log says why."),
    Series("edge_gpu_memory_used_bytes", "gauge", DAEMON, ("gpu",), "Memory in use that the GPU shares with the processor.", "a Jetson"),
    Series("edge_gpu_memory_total_bytes", "gauge", DAEMON, ("gpu",), "Memory that the GPU shares with the processor.", "a Jetson"),
    Series("edge_gpu_utilization_ratio", "gauge", DAEMON, ("gpu",), "Share of time that the GPU worked, 0 to 1.", "a Jetson"),
    Series("edge_gpu_temperature_celsius", "gauge", DAEMON, ("gpu",), "Temperature of the GPU.", "a Jetson"),
    Series("edge_gpu_clock_hertz", "gauge", DAEMON, ("gpu",), "Clock of the GPU.", "a Jetson"),
    Series("edge_temperature_celsius", "gauge", DAEMON, ("zone",), "Temperature of each thermal zone.", "a machine that has thermal zones"),
    Series("edge_power_watts", "gauge", DAEMON, ("rail",), "What each power rail carries.", "a Jetson"),
    Series("edge_throttled", "gauge", DAEMON, (), "1 while heat or current slows the machine down.", "a Jetson"),
    Series("edge_gpu_throttle_events_total", "counter", DAEMON, ("gpu",), "Times that too much current slowed the machine down.", "a Jetson with JetPack 6"),
    Series("edge_outbox_bytes", "gauge", DAEMON, (), "Bytes of records that wait to be sent."),
    Series("edge_outbox_budget_bytes", "gauge", DAEMON, (), "Bytes that may wait before the oldest are dropped; the rest of the budget is for the log and what one write brings."),
    Series("edge_outbox_records", "gauge", DAEMON, ("priority",), "Records that wait to be sent: 1 emergency, 2 normal, 3 batch."),
    Series("edge_outbox_dropped_total", "counter", DAEMON, ("kind", "priority"), "Records that there was no room for, since the outbox began; restarts do not reset it."),
    Series("edge_outbox_refused_total", "counter", DAEMON, ("kind",), "Records that were not accepted: too many at once, or the disk did not take them."),
    # ------------------------------------------------------------------ routes, by an agent in the cluster or the daemon
    Series("tiers_sync_last_success_timestamp_seconds", "gauge", AGENT, ("route",), "When the last run ended well, in Unix time; at the start of the agent, before there was one.", _ROUTES),
    Series("tiers_sync_period_seconds", "gauge", AGENT, ("route",), "Time between two runs.", _ROUTES),
    Series("tiers_sync_runs_total", "counter", AGENT, ("route", "outcome"), "Runs by how they ended: ok or failed.", _ROUTES),
    Series("tiers_sync_moved_bytes_total", "counter", AGENT, ("route",), "Bytes that moved, in stored form.", _ROUTES),
    Series("tiers_sync_saved_bytes_total", "counter", AGENT, ("route",), "Bytes of changed files that did not have to move.", _ROUTES),
    Series("tiers_sync_files", "gauge", AGENT, ("route",), "Files of the source at the last run.", _ROUTES),
    Series("tiers_sync_left_files", "gauge", AGENT, ("route",), "Files that the last run left behind.", _ROUTES),
    Series("tiers_sync_last_run_seconds", "gauge", AGENT, ("route",), "How long the last run took.", _ROUTES),
    # ------------------------------------------------------------------ the depot
    Series("tiers_depot_requests_total", "counter", DEPOT, (), "Requests of devices that came over MQTT.", _DEPOT),
    Series("tiers_depot_refused_total", "counter", DEPOT, ("reason",), "Requests that were not served: unknown_artifact, busy, bad_request, damaged, unreadable.", _DEPOT),
    Series("tiers_depot_sent_bytes_total", "counter", DEPOT, ("road",), "Bytes that were sent, by road: mqtt (what devices asked for), http (ranges), broadcast (the stream that several devices share).", _DEPOT),
    Series("tiers_depot_frames_total", "counter", DEPOT, (), "Frames that were sent over MQTT.", _DEPOT),
    Series("tiers_depot_manifests_laid_out_total", "counter", DEPOT, (), "Manifests that were laid out on the broker.", _DEPOT),
    Series("tiers_depot_read_chunks_total", "counter", DEPOT, (), "Chunks that were read from the registry and checked.", _DEPOT),
    Series("tiers_depot_read_seconds_total", "counter", DEPOT, (), "Time spent reading them.", _DEPOT),
    Series("tiers_depot_limited_seconds_total", "counter", DEPOT, (), "Time in which devices waited for nothing but a rate (--rate, --device-rate).", _DEPOT),
    Series("tiers_depot_registry_errors_total", "counter", DEPOT, (), "Times that the registry did not answer.", _DEPOT),
    Series("tiers_depot_connected", "gauge", DEPOT, (), "1 while the broker is reached.", _DEPOT),
    Series("tiers_depot_damaged_chunks", "gauge", DEPOT, (), "Places of the registry that were found damaged since the start; none of them was sent.", _DEPOT),
    Series("tiers_depot_waiting_devices", "gauge", DEPOT, (), "Devices that wait for chunks now.", _DEPOT),
    Series("tiers_depot_waiting_bytes", "gauge", DEPOT, (), "Bytes of the chunks that they wait for.", _DEPOT),
    # ------------------------------------------------------------------ the driver of rollouts
    Series("tiers_driver_term", "gauge", DRIVER, (), "Number of its term; the highest one on a site acts, 0 has none yet.", _DRIVER),
    Series("tiers_driver_active", "gauge", DRIVER, (), "1 for the driver that acts, 0 for one that stands by.", _DRIVER),
    Series("tiers_driver_documents_written_total", "counter", DRIVER, (), "Desired states of devices that it wrote.", _DRIVER),
    Series("tiers_driver_look_age_seconds", "gauge", DRIVER, (), "Time since it last looked at its rollouts; some seconds while it is well.", _DRIVER),
    Series("tiers_driver_rollout_state", "gauge", DRIVER, (*_ROLLOUT, "state"), "1 for the state of each model's newest rollout; states of `tiers rollout status`.", _DRIVER),
    Series("tiers_driver_rollout_wave", "gauge", DRIVER, (*_ROLLOUT, "waves"), "Number of its present wave, from 1, and of how many.", _DRIVER),
    Series("tiers_driver_rollout_devices", "gauge", DRIVER, (*_ROLLOUT, "state"), "Its devices by the state of their installation; UNREPORTED said nothing yet.", _DRIVER),
    Series("tiers_driver_rollout_refused_devices", "gauge", DRIVER, _ROLLOUT, "Devices that refused the version, failed, or went back.", _DRIVER),
    # ------------------------------------------------------------------ Prometheus itself
    Series("up", "gauge", "Prometheus", ("job", "instance"), "1 when the last scrape worked."),
    # ------------------------------------------------------------------ GPUs of servers
    Series("DCGM_FI_DEV_GPU_UTIL", "gauge", DCGM, _CARD, "Utilization in percent."),
    Series("DCGM_FI_DEV_GPU_TEMP", "gauge", DCGM, _CARD, "Temperature in °C."),
    Series("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "gauge", DCGM, _CARD, "Share of time that the GPU or its MIG instance worked from 0 to 1.", "a service with scale.gpu"),
    Series("DCGM_FI_DEV_POWER_USAGE", "gauge", DCGM, _CARD, "Power in watts."),
    Series("DCGM_FI_DEV_SM_CLOCK", "gauge", DCGM, _CARD, "Clock in MHz."),
    Series("DCGM_FI_DEV_FB_USED", "gauge", DCGM, _CARD, "Used memory in MiB."),
    Series("DCGM_FI_DEV_FB_FREE", "gauge", DCGM, _CARD, "Free memory in MiB."),
    Series("DCGM_FI_DEV_FB_RESERVED", "gauge", DCGM, _CARD, "Memory that the driver keeps, in MiB."),
    Series("DCGM_FI_DEV_XID_ERRORS", "gauge", DCGM, (*_CARD, "err_code", "err_msg"), "The last Xid; it never goes back to 0."),
    Series("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "counter", DCGM, _CARD, "Double-bit errors since the driver was loaded."),
    Series("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "counter", DCGM, _CARD, "Rows of memory replaced after errors that could not be corrected."),
    Series("DCGM_FI_DEV_ROW_REMAP_FAILURE", "gauge", DCGM, _CARD, "1 when a row could not be replaced."),
    Series("DCGM_FI_DEV_THERMAL_VIOLATION", "counter", DCGM, _CARD, "Time that heat slowed the GPU down, in ns."),
    Series("DCGM_FI_DEV_POWER_VIOLATION", "counter", DCGM, _CARD, "Time that the power limit slowed the GPU down, in ns."),
    # ------------------------------------------------------------------ Volcano
    Series("volcano_e2e_scheduling_latency_milliseconds", "histogram", SCHEDULER, (), "One round of scheduling.", _VOLCANO),
    Series("volcano_queue_allocated_scalar_resources", "gauge", SCHEDULER, (*_QUEUE, "resource"), "What a queue's running pods hold, in thousandths.", _VOLCANO),
    Series("volcano_queue_deserved_scalar_resources", "gauge", SCHEDULER, (*_QUEUE, "resource"), "What a queue deserves, in thousandths.", _VOLCANO),
    Series("volcano_queue_pod_group_inqueue_count", "gauge", CONTROLLER, _QUEUE, "Gangs that were let in and do not run yet.", _VOLCANO),
    Series("volcano_queue_pod_group_pending_count", "gauge", CONTROLLER, _QUEUE, "Gangs that wait to be let in.", _VOLCANO),
    Series("volcano_queue_pod_group_running_count", "gauge", CONTROLLER, _QUEUE, "Gangs that run.", _VOLCANO),
    Series("volcano_queue_pod_group_unknown_count", "gauge", CONTROLLER, _QUEUE, "Gangs of which a part runs.", _VOLCANO),
    # ------------------------------------------------------------------ Kubernetes
    Series("kube_cronjob_status_last_successful_time", "gauge", KUBE_STATE, _CRON_JOB, "When a CronJob's last run ended well, in Unix time; missing before there was one.", _OPERATOR),
    Series("kube_cronjob_created", "gauge", KUBE_STATE, _CRON_JOB, "When a CronJob was made, in Unix time.", _OPERATOR),
    Series("kube_cronjob_status_last_schedule_time", "gauge", KUBE_STATE, _CRON_JOB, "When a CronJob last started a run, in Unix time.", _OPERATOR),
    Series("kube_cronjob_next_schedule_time", "gauge", KUBE_STATE, _CRON_JOB, "When it starts the next, in Unix time.", _OPERATOR),
    Series("kube_node_status_condition", "gauge", KUBE_STATE, ("node", "condition", "status"), "1 for the status that a condition of a node has.", _OPERATOR),
)  # fmt: skip

BY_NAME: Final = {each.name: each for each in SERIES}
