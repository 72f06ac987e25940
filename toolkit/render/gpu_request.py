"""What a pod asks for when it wants GPUs of a pool: whole ones, or shares under the name that the pool's plugin uses.

Between `placement` (sizes) and the views of gangs and servers; `gpu_sharing` renders the plugin that offers the names.

NVIDIA's plugin with renameByDefault calls shares nvidia.com/gpu.shared, so nobody takes a share for a whole GPU by
mistake. Volcano's vGPU plugin counts in volcano.sh/vgpu-number and, in MiB, volcano.sh/vgpu-memory.
"""

from __future__ import annotations

from toolkit.placement import GPU
from toolkit.topology.topology import PlacedPool

SHARED_GPU = f"{GPU}.shared"
VGPU, VGPU_MEMORY = "volcano.sh/vgpu-number", "volcano.sh/vgpu-memory"
MPS_LIMIT = "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"
"""Variable that holds a client of MPS to an amount; https://docs.nvidia.com/deploy/mps/"""
_MIB = 2**20


def gpu_request(placed: PlacedPool, count: int) -> dict[str, str]:
    """Give the resources for so many GPUs of a pool; none for 0."""
    sharing = placed.pool.gpu
    if not count:
        return {}
    if sharing is None:
        return {GPU: str(count)}
    if sharing.share != "vgpu":
        return {SHARED_GPU: str(count)}
    return {VGPU: str(count), VGPU_MEMORY: str(share_memory(placed) // _MIB)}


def share_memory(placed: PlacedPool) -> int:
    """Give the bytes of GPU memory that one share may use: what the pool says, else its part; 0 when nobody knows."""
    sharing, whole = placed.pool.gpu, placed.hardware.gpu_memory
    if sharing is not None and sharing.memory is not None:
        return sharing.memory.count
    return whole.count // placed.gpu_shares if whole else 0


def mps_limit(placed: PlacedPool) -> str:
    """Give the value of MPS_LIMIT for pods of a pool; empty where nothing narrower than the pool's part was asked."""
    sharing = placed.pool.gpu
    if sharing is None or sharing.share != "mps" or sharing.memory is None:
        return ""
    return f"0={sharing.memory.count // _MIB}M"
