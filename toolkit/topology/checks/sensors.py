"""Rules about sensors: they stand beside devices, have something to read, and hold no secret.

Called by `load` through checks.every.
"""

import re

from toolkit.topology.checks.site import Site
from toolkit.topology.findings import did_you_mean
from toolkit.topology.nodes import Path
from toolkit.topology.sensor_property import NUMBERS

_SECRET = re.compile(
    r"(password|passwd|secret|token|api[-_]?key|access[-_]?key|credentials?)$", re.IGNORECASE
)


def sensors_are_on_devices(site: Site) -> None:
    """E0824: a sensor's devices are devices of the edge; E0519: its pools are edge pools; E0825: it has one."""
    pools = site.pools()
    names = {name for each in pools.values() if each.tier_name == "edge" for name in each.node_names}
    for name, sensor in site.sound("sensors", site.topology.sensors):
        path: Path = ("sensors", name)
        if not sensor.pools and not sensor.devices:
            site.report("E0825", path, f"no device has the sensor '{name}'", key=True)
        for position, pool in enumerate(sensor.pools):
            if pool in pools and pools[pool].tier_name != "edge":
                message = (
                    f"the pool '{pool}' is on the tier {pools[pool].tier_name}; sensors are on edge pools"
                )
                site.report("E0519", (*path, "pools", position), message)
        for device in sensor.devices:
            if device not in names:
                message = f"there is no device '{device}'{did_you_mean(device, names)}"
                site.report("E0824", (*path, "devices", device), message, key=True)


def sensors_have_something_to_read(site: Site) -> None:
    """E0825: a sensor has properties; E0826: limits are in order, and only numbers have them."""
    for name, sensor in site.sound("sensors", site.topology.sensors):
        if not sensor.all_properties:
            message = f"the sensor '{name}' has neither a kind nor properties"
            site.report("E0825", ("sensors", name), message, key=True)
        for key, each in sensor.properties.items():
            path: Path = ("sensors", name, "properties", key)
            limit = "minimum" if each.minimum is not None else "maximum"
            limited = each.minimum is not None or each.maximum is not None
            if limited and each.type not in NUMBERS:
                site.report("E0826", (*path, limit), f"a {each.type} has no {limit}", key=True)
            elif each.minimum is not None and each.maximum is not None and each.minimum > each.maximum:
                message = f"the least value {each.minimum:g} is above the greatest, {each.maximum:g}"
                site.report("E0826", (*path, "minimum"), message)


def connections_hold_no_secret(site: Site) -> None:
    """E0311: a Device of KubeEdge is readable for everybody who may read devices, and takes no reference."""
    cure = "keep it in the mapper's own configuration on the device"
    for name, sensor in site.sound("sensors", site.topology.sensors):
        places: list[tuple[Path, str]] = [
            (("sensors", name, "connection", key), key) for key in sensor.connection
        ]
        for device, settings in sensor.devices.items():
            places += [(("sensors", name, "devices", device, key), key) for key in settings]
        for prop, each in sensor.properties.items():
            places += [(("sensors", name, "properties", prop, "visitor", key), key) for key in each.visitor]
        for path, key in places:
            if _SECRET.search(key):
                site.report("E0311", path, f"'{key}' is a secret that is written out", cure=cure)
