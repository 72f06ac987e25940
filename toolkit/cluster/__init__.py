"""Rendered objects ↔ a Kubernetes cluster: what differs, make it so, wait until it runs, and back.

    render → `connect` (the context that tiers.yaml names) → `diff` (one LIST a kind, compared here) → `plan` → `lock`
    → `apply` (server-side, by rank, no force; `applyset` says whose an object is, `prune` deletes what is not rendered
    any more) → `history` (a revision for `rollback`) → `wait` (watches, kstatus rules) → the command prints the result

`delete` takes everything away again. `status` and `doctor` look.

The official client reads kubeconfig, logins and certificates (`connect`); all else is JSON over its connection pool.
"""
