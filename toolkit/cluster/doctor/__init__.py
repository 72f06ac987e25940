"""What is wrong with a cluster before it bites: versions, kinds, switches, machines, rights, clocks. `tiers doctor`.

    patient (what the cluster says, asked once) → one file a subject, one function a check → `examine` → Diagnosis

Nothing is changed. What cannot be looked at is a finding of its own, never a crash.
"""
