"""A sensor: a medical machine beside a device, read by a mapper program there. KubeEdge calls it a Device.

Stands under topology; render makes one DeviceModel of it and one Device for each device that has it. Our word Device
is the Jetson; the glossary tells them apart.
"""

from collections.abc import Mapping

from toolkit.topology.names import Name, NodeName, PropertyName
from toolkit.topology.noun import Noun
from toolkit.topology.sensor_kinds import KINDS, Kind
from toolkit.topology.sensor_property import Property, Setting
from toolkit.topology.units import Duration


class Sensor(Noun):
    """A machine beside devices whose settings can be read, and some be set."""

    kind: Kind | None = None
    """A known kind, which brings its properties."""
    mapper: PropertyName
    """Name under which the mapper program on the devices registers, such as dicom, rtsp or opcua."""
    properties: Mapping[PropertyName, Property] = {}
    """What can be read or set, beside the kind's properties and instead of those of the same name."""
    connection: Mapping[PropertyName, Setting] = {}
    """What the mapper needs to reach the machine, such as address and port; no secrets."""
    read: Duration = Duration.parse("10s")
    """Time between two readings of the machine."""
    report: Duration = Duration.parse("1m")
    """Time between two reports to the cloud."""
    pools: tuple[Name, ...] = ()
    """Edge pools of which every device has this sensor."""
    devices: Mapping[NodeName, Mapping[PropertyName, Setting]] = {}
    """Single devices that have it, with what is different in their connection."""

    @property
    def all_properties(self) -> dict[str, Property]:
        """The kind's properties and the sensor's own; its own win."""
        return {**(KINDS[self.kind] if self.kind else {}), **self.properties}
