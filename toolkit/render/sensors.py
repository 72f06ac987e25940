"""A topology → KubeEdge's DeviceModel of each sensor and a Device for each device that has it.

Between `kubeedge_objects` and the templates kubeedge/{devicemodel,device}. KubeEdge's Device is our Sensor; its
nodeName is our device. DeviceStatus is written by mappers, never by us. The cycles are milliseconds (mapper-framework
multiplies them by time.Millisecond), whatever other kinds of Kubernetes do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.per_device import name_on
from toolkit.render.rendered import RenderedObject
from toolkit.render.template import fill
from toolkit.topology.sensor import Sensor
from toolkit.topology.sensor_property import Property, Setting
from toolkit.topology.topology import Topology

_ACCESS = {"read": "ReadOnly", "write": "ReadWrite"}


@dataclass(frozen=True)
class PropertyView:
    """One property, in the words of KubeEdge."""

    name: str
    type: str
    access: str
    unit: str
    minimum: str
    """Empty for none; a text also for numbers, so the CRD has it."""
    maximum: str
    description: str
    visitor: Mapping[str, Setting]


@dataclass(frozen=True)
class DeviceModelView:
    """What kubeedge/devicemodel.yaml.j2 names."""

    protocol: str
    properties: tuple[PropertyView, ...]


@dataclass(frozen=True)
class SensorView:
    """What kubeedge/device.yaml.j2 names."""

    model: str
    node: str
    protocol: str
    connection: Mapping[str, Setting]
    properties: tuple[PropertyView, ...]
    read: int
    """Milliseconds."""
    report: int
    """Milliseconds."""


def sensors(topology: Topology, _lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give the DeviceModel of each sensor that a device of the cluster has, and their Devices. Raises RenderError."""
    for name, sensor in topology.sensors.items():
        nodes = sensor_nodes(topology, cluster, sensor)
        if not nodes:
            continue
        labels = owner_labels(topology.name, "sensor", name)
        namespace, source = topology.namespace(cluster), f"sensors.{name}"
        properties = tuple(_view(key, each) for key, each in sensor.all_properties.items())
        model = DeviceModelView(sensor.mapper, properties)
        metadata = Metadata(name, labels, namespace)
        yield RenderedObject(cluster, source, fill("kubeedge/devicemodel.yaml.j2", metadata, model=model))
        for node in nodes:
            view = SensorView(
                model=metadata.name,
                node=node,
                protocol=sensor.mapper,
                connection={**sensor.connection, **sensor.devices.get(node, {})},
                properties=properties,
                read=sensor.read.milliseconds,
                report=sensor.report.milliseconds,
            )
            named = Metadata(name_on(name, node), labels, namespace)
            yield RenderedObject(cluster, source, fill("kubeedge/device.yaml.j2", named, sensor=view))


def sensor_nodes(topology: Topology, cluster: str, sensor: Sensor) -> tuple[str, ...]:
    """Name the devices of a cluster that have a sensor, each once, in order of name."""
    return tuple(
        sorted(
            node
            for placed in topology.pools_in(cluster)
            if placed.tier_name == "edge"
            for node in placed.node_names
            if placed.name in sensor.pools or node in sensor.devices
        )
    )


def _view(name: str, each: Property) -> PropertyView:
    return PropertyView(
        name=name,
        type=each.type.upper(),
        access=_ACCESS[each.access],
        unit=each.unit or "",
        minimum="" if each.minimum is None else f"{each.minimum:g}",
        maximum="" if each.maximum is None else f"{each.maximum:g}",
        description=each.description,
        visitor=each.visitor,
    )
