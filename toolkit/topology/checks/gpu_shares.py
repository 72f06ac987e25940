"""Rules about GPUs that several pods share, and about the work that stands on them.

Called by `load` through checks.every; `pools.shares_of_gpus_make_sense` holds the older two.
"""

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import counted
from toolkit.topology.nodes import Path
from toolkit.topology.topology import PlacedPool
from toolkit.topology.units import Bytes


def shares_fit_their_gpu(site: Site) -> None:
    """E0853: no shares on a Jetson; E0855: all shares together fit; E0856: one plugin a machine."""
    for placed in site.pools().values():
        path: Path = ("tiers", placed.tier_name, "pools", placed.name)
        sharing, whole = placed.pool.gpu, placed.hardware.gpu_memory
        if placed.pool.device_plugin and not placed.gpus_per_node:
            message = f"one '{placed.pool.hardware}' has no GPU to offer"
            site.report("E0524", (*path, "device_plugin"), message, key=True)
        if sharing is None or not placed.gpus_per_node:
            continue
        if placed.tier_name == "edge" or placed.hardware.jetpack is not None:
            site.report("E0853", (*path, "gpu"), f"'{placed.pool.hardware}' cannot share its GPU", key=True)
            continue
        if placed.pool.device_plugin and sharing.share == "vgpu":
            message = "vgpu brings Volcano's plugin, device_plugin NVIDIA's"
            site.report("E0856", (*path, "device_plugin"), message, key=True)
        if sharing.memory is not None and whole is not None and sharing.share != "timeslice":
            asked = sharing.memory.count * sharing.replicas
            if asked > whole.count:
                message = (
                    f"{sharing.replicas} shares of {sharing.memory} are {Bytes(asked)}, the GPU has {whole}"
                )
                site.report("E0855", (*path, "gpu", "memory"), message)


def work_takes_one_share(site: Site) -> None:
    """E0854: a gang has whole GPUs; a server has one share, or several of vgpu."""
    pools = site.pools()
    for name, job in site.sound("jobs", site.topology.jobs):
        placed = pools.get(job.pool)
        if placed is not None and placed.pool.gpu is not None and job.gang.gpus_per_worker:
            message = f"a worker wants {counted(job.gang.gpus_per_worker, 'whole GPU')}, {_divided(placed)}"
            site.report("E0854", ("jobs", name, "gang", "gpus_per_worker"), message)
    for name, service in site.sound("services", site.topology.services):
        placed = pools.get(service.pool)
        if placed is None or placed.pool.gpu is None or placed.pool.gpu.share == "vgpu":
            continue
        if service.gpus_per_replica > 1:
            message = f"a server wants {service.gpus_per_replica} GPUs, {_divided(placed)}"
            site.report("E0854", ("services", name, "gpus_per_replica"), message)


def _divided(placed: PlacedPool) -> str:
    return f"'{placed.name}' divides each into {placed.gpu_shares}"
