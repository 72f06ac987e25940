"""What the device can do at the moment, by which `offers` takes a version or says why not."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from edge_runtime.facts import free_disk, newest_onnx_ir
from edge_runtime.folders import Folders
from edge_runtime.memory import free_bytes
from edge_runtime.serving.stages.chain import own_stages
from toolkit.protocol.offer import Ability
from toolkit.wire.fingerprint import Fingerprint


def ability_of(
    disk_budget: Callable[[], int], folders: Folders, facts: Fingerprint, held_memory: Callable[[], int]
) -> Callable[[], Ability]:
    """Give a function that says what the device can do at the moment; a budget of 0 leaves it to the disk.

    Memory that loaded models hold counts as free, because they make room for a new version.
    """
    onnx_ir = lru_cache(newest_onnx_ir)

    def ability() -> Ability:
        disk = free_disk(folders.state)
        if budget := disk_budget():
            disk = min(disk, max(budget - folders.used_bytes(), 0))
        return Ability(
            architecture=facts.architecture,
            onnx_ir=onnx_ir(),
            free_memory_bytes=(free_bytes() or 0) + held_memory(),
            free_disk_bytes=disk,
            l4t=facts.l4t,
            tensorrt=facts.tensorrt,
            compute_capability=facts.compute_capability,
            stages=own_stages(),
        )

    return ability
