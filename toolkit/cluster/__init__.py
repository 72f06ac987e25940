"""Rendered objects ↔ a Kubernetes cluster: what differs, make it so, wait until it runs.

    render → `connect` (the context that tiers.yaml names) → `diff` (one LIST a kind, compared here) → `apply`
    (server-side, by rank, no force) → `wait` (watches, kstatus rules) → the command prints the result object

The official client reads kubeconfig, logins and certificates (`connect`); all else is JSON over its connection pool.
"""
