"""Amounts of tiers.yaml in Kubernetes' words: cores, bytes and GPUs as quantities. For views that have sizes."""

from __future__ import annotations

from toolkit.placement import GPU

_UNITS = (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10))


def memory_quantity(count: int) -> str:
    """Write bytes with the largest binary suffix that is exact: 8589934592 → `8Gi`."""
    for suffix, size in _UNITS:
        if count >= size and count % size == 0:
            return f"{count // size}{suffix}"
    return str(count)


def quantities(
    *, cpus: int | None = None, memory: int | None = None, gpus: int | None = None
) -> dict[str, str]:
    """Write a list of resources; what is None is left out. Memory in bytes."""
    listed = {
        "cpu": None if cpus is None else str(cpus),
        "memory": None if memory is None else memory_quantity(memory),
        GPU: None if gpus is None else str(gpus),
    }
    return {name: amount for name, amount in listed.items() if amount is not None}
