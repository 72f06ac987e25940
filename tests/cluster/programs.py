"""Where the programs of the control plane are: KUBEBUILDER_ASSETS, else the cache that scripts/bring-cluster fills.

The cache folder is named after the pins in this folder and the version of Go, by the rule of that script.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "vc-scheduler",
    "vc-controller-manager",
    "vc-webhook-manager",
    "kwok",
)
BRING = "scripts/bring-cluster (needs Go 1.26)"


def pins() -> str:
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "kwok/go.mod", "kwok/go.sum", "apis/queue_allocation_gate.go"):
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()[:16]


def find(program: str) -> Path | None:
    """Find one program; None when nobody has brought it."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(os.environ.get("TIERS_CACHE") or Path(home) / "tiers") / "cluster"
    folders = [*sorted(cache.glob(f"{pins()}-*"), reverse=True)]
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        folders.insert(0, Path(assets))
    return next((folder / program for folder in folders if os.access(folder / program, os.X_OK)), None)


def all_here() -> bool:
    return all(find(program) for program in PROGRAMS)
