"""A Job of tiers.yaml: planned, run here or submitted, watched, explained.

    here:     `plan` (what each worker runs) → `local` → `gang` (processes) → `logs`
    cluster:  `outlook` (offline), `checked` → `submit` → `follow`
              `where` → `observe` → `seen` → `reason` → `status`;  `list`, `pod_logs`
              `scale`, `command` (suspend, resume), `cancel`

`reason` and what it stands on (`waiting`, `machine_rules`, `queue_rules`, `room`, `values`) are pure. Jobs are started
as processes or submitted: this room never imports `cloud_jobs`.
"""
