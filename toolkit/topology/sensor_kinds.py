"""The two kinds of sensors that are known by name, with what can be read and set on them. Data for `sensor`.

An ultrasound machine is asked for its acquisition settings, an endoscopy tower for its camera and light; pictures go by
routes, never through KubeEdge. Units are written by UCUM (https://ucum.org): MHz, cm, dB, Cel.
"""

from collections.abc import Mapping
from typing import Literal

from toolkit.topology.sensor_property import Property

Kind = Literal["ultrasound", "endoscopy"]


def _read(kind: Literal["int", "float", "string", "boolean"], text: str, unit: str | None = None) -> Property:
    return Property(type=kind, unit=unit, description=text)


def _set(text: str, unit: str, lowest: float, highest: float) -> Property:
    return Property(
        type="float", unit=unit, access="write", minimum=lowest, maximum=highest, description=text
    )


KINDS: Mapping[Kind, Mapping[str, Property]] = {
    "ultrasound": {
        "probe": _read("string", "Probe that is selected"),
        "mode": _read("string", "What is acquired, such as B, M, color or PW"),
        "probe-frequency": _set("Centre frequency of the probe", "MHz", 1, 30),
        "depth": _set("Depth of the picture", "cm", 1, 40),
        "gain": _set("Overall gain", "dB", -30, 100),
        "frame-rate": _read("float", "Pictures a second", "1/s"),
        "frozen": _read("boolean", "Whether the picture stands still"),
        "probe-temperature": _read("float", "Temperature at the surface of the probe", "Cel"),
    },
    "endoscopy": {
        "scope": _read("string", "Endoscope that is plugged in"),
        "frame-rate": _read("float", "Pictures a second", "1/s"),
        "light": _set("Brightness of the light source", "%", 0, 100),
        "zoom": _set("Magnification", "1", 1, 20),
        "color-temperature": _read("int", "White balance", "K"),
        "recording": _read("boolean", "Whether the tower records"),
        "tip-temperature": _read("float", "Temperature at the tip of the endoscope", "Cel"),
    },
}
"""Kind → property → what it is."""
