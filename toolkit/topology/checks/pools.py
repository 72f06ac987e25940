"""Rules about pools, their machines and their devices.

Called by `load` through checks.every.
"""

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import counted, did_you_mean
from toolkit.topology.nodes import Path, find, place_of
from toolkit.topology.topology import PlacedPool


def pool_names_are_unique(site: Site) -> None:
    """E0501: jobs and models name a pool by its name alone."""
    first: dict[str, Path] = {}
    for tier_name, tier in site.topology.tiers.items():
        for name in tier.pools:
            path: Path = ("tiers", tier_name, "pools", name)
            if name in first:
                line = place_of(site.root, first[name], key=True)
                site.report(
                    "E0501",
                    path,
                    f"the pool '{name}' is also in the tier {first[name][1]} ({line})",
                    key=True,
                )
            first.setdefault(name, path)


def pools_say_which_machines(site: Site) -> None:
    """E0206: nodes are a count or names; E0502: a name stands for one machine."""
    seen: dict[str, Path] = {}
    for placed in site.pools().values():
        path: Path = (*_path(placed), "nodes")
        nodes = placed.pool.nodes
        if nodes.count is not None and nodes.names:
            site.report("E0206", (*path, "count"), "'nodes' has both count and names", key=True)
        elif nodes.count is None and not nodes.names:
            site.report("E0206", path, "'nodes' has neither count nor names", key=True, cure=_WHICH_MACHINES)
        for position, name in enumerate(placed.node_names):
            here: Path = (*path, "names", position) if nodes.count is None else (*path, "count")
            if name in seen:
                other = place_of(site.root, seen[name])
                site.report("E0502", here, f"the machine '{name}' is also at {other}")
            seen.setdefault(name, here)


def gpus_match_the_hardware(site: Site) -> None:
    """E0523: a server with cards says how many; E0524: no GPUs where the hardware has none."""
    for placed in site.pools().values():
        stated, known, hardware = placed.pool.gpus, placed.hardware.gpus, placed.pool.hardware
        if stated is None and known is None and placed.hardware.gpu_product:
            site.report(
                "E0523", _path(placed), f"'{hardware}' does not say how many GPUs one machine has", key=True
            )
        elif stated and stated > (known if known is not None else stated):
            site.report(
                "E0524",
                (*_path(placed), "gpus"),
                f"one '{hardware}' has {counted(known or 0, 'GPU')}, not {stated}",
            )


def shares_of_gpus_make_sense(site: Site) -> None:
    """E0524: only a machine with GPUs can share them; E0529: time slices do not limit memory."""
    for placed in site.pools().values():
        sharing = placed.pool.gpu
        if sharing is None:
            continue
        if not placed.gpus_per_node:
            message = f"one '{placed.pool.hardware}' has no GPU to share"
            site.report("E0524", (*_path(placed), "gpu"), message, key=True)
        elif sharing.share == "timeslice" and sharing.memory is not None:
            message = f"{sharing.memory} for each pod, and time slices do not hold anybody to it"
            site.report("E0529", (*_path(placed), "gpu", "memory"), message)


def device_settings_have_a_device(site: Site) -> None:
    """E0526: settings name a device of their pool; E0527: only the edge tier has devices."""
    for placed in site.pools().values():
        names = dict.fromkeys(placed.node_names)
        for name in placed.pool.devices:
            if name not in names:
                message = f"the pool '{placed.name}' has no device '{name}'{did_you_mean(name, names)}"
                site.report("E0526", (*_path(placed), "devices", name), message, key=True)
        if placed.tier_name != "edge":
            for key in ("settings", "devices"):
                if find(site.root, (*_path(placed), key)) is not None:
                    site.report(
                        "E0527",
                        (*_path(placed), key),
                        f"'{key}' are for devices, and the tier {placed.tier_name} has none",
                        key=True,
                    )
    for tier_name in site.topology.tiers:
        if tier_name != "edge" and find(site.root, ("tiers", tier_name, "settings")) is not None:
            site.report(
                "E0527",
                ("tiers", tier_name, "settings"),
                f"'settings' are for devices, and the tier {tier_name} has none",
                key=True,
            )


def old_jetsons_are_noted(site: Site) -> None:
    """W0701: JetPack below 6 has no TensorRT that our engine speaks."""
    for placed in site.pools().values():
        jetpack = placed.hardware.jetpack
        if jetpack is not None and jetpack < _FIRST_JETPACK:
            message = f"'{placed.pool.hardware}' has JetPack {jetpack}: its models run on ONNX Runtime in a container"
            site.report("W0701", (*_path(placed), "hardware"), message)


def memory_is_what_the_hardware_has(site: Site) -> None:
    """E0809: a pool that says cores and memory has for each core what its hardware is chosen for."""
    for placed in site.pools().values():
        cpus = placed.pool.cpus or placed.hardware.cpus
        memory = placed.pool.memory or placed.hardware.memory
        least = placed.hardware.memory_per_cpu
        if least is not None and cpus and memory and memory.count < cpus * least.count:
            message = f"{memory} for {cpus} cores, '{placed.pool.hardware}' has at least {least} for each"
            site.report("E0809", (*_path(placed), "memory" if placed.pool.memory else "hardware"), message)


_FIRST_JETPACK = 6
_WHICH_MACHINES = "write count: N, or names: [a, b], or give the devices in the inventory"


def _path(placed: PlacedPool) -> Path:
    """Give the path of a pool."""
    return ("tiers", placed.tier_name, "pools", placed.name)
