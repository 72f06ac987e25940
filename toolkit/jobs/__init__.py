"""A Job of tiers.yaml: planned, run here or submitted, watched, explained.

`plan` says what each worker runs and with which environment; `local` runs the gang on this machine, `gang` keeps its
processes, `logs` finds what they said. Jobs are started as processes: this room never imports `cloud_jobs`.
"""
