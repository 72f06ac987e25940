"""A crowd of jobs as tiers.yaml has them: gangs of random size and life, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

LIFE = "TEST_LIFE"
"""Variable by which a worker's pod says how long it runs; stages-life.yaml reads it."""
WORKERS, GPUS = 6, 8
"""The largest gang takes every machine of the pool a100."""
WHOLE_POOL_SECONDS = 20.0
"""Long beside the time that a busy machine takes to bind the workers of one gang."""


def job(
    workers: int, gpus: int, seconds: float, *, minimum: int | None = None, pool: str = "a100"
) -> dict[str, Any]:
    """Give one job: its workers, their GPUs, and how long they live."""
    gang = {"workers": workers, "gpus_per_worker": gpus, "cpus_per_worker": 1, "memory_per_worker": "1GiB"}
    if minimum is not None:
        gang["min"] = minimum
    return {
        "pool": pool,
        "gang": gang,
        "run": "train",
        "env": {LIFE: f"{round(seconds * 1000)}ms"},
        "priority": "batch",
    }


def crowd(seed: int, number: int, *, minimum: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give names and jobs: two thirds of them small ones of two GPUs, the others of any size up to the whole pool.

    Three take the whole pool for seconds, so that there are times in which nothing can be bound.
    """
    dice = random.Random(seed)
    for count in range(number):
        small = dice.random() < 0.65
        workers = dice.randint(1, 3 if small else WORKERS)
        gpus = 2 if small else dice.randint(1, GPUS)
        seconds = dice.uniform(0.1, 0.3)
        if count % (number // 3) == number // 6:
            workers, gpus, seconds = WORKERS, GPUS, WHOLE_POOL_SECONDS
        yield f"gang-{count:03d}", job(workers, gpus, seconds, minimum=minimum)


def workers_of(jobs: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Give how many workers each job needs."""
    return {name: int(each["gang"]["workers"]) for name, each in jobs.items()}
