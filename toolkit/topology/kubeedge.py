"""KubeEdge in a cluster: where its cloud side listens, and how devices join it.

Stands under cluster; render writes cloudcore.yaml and edgecore.yaml from it.
"""

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from toolkit.topology.names import NodeName
from toolkit.topology.noun import Noun

_VERSION = r"^[0-9]+\.[0-9]+\.[0-9]+$"


def _check_address(text: str) -> str:
    """Take an IP address that a device can dial."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as exc:
        raise PydanticCustomError(
            "E0310", "{reason}", {"reason": f"'{text}' is not an IP address such as 192.0.2.10"}
        ) from exc
    if address.is_unspecified or address.is_multicast:
        raise PydanticCustomError(
            "E0310", "{reason}", {"reason": f"'{text}' is no address that a device can dial"}
        )
    return str(address)


def _check_version(text: str) -> str:
    """Take a version with three numbers."""
    if re.fullmatch(_VERSION, text, re.ASCII) is None:
        raise PydanticCustomError(
            "E0309", "{reason}", {"reason": f"'{text}' is not a version such as 1.23.1"}
        )
    return text


IpAddress = Annotated[str, AfterValidator(_check_address)]
"""An IPv4 or IPv6 address, in its shortest form."""


class KubeEdge(Noun):
    """The KubeEdge that joins devices to a cluster."""

    addresses: Annotated[tuple[IpAddress, ...], Field(min_length=1)]
    """Addresses at which devices reach CloudCore; its certificate holds them all, devices dial the first."""
    names: tuple[NodeName, ...] = ()
    """DNS names of CloudCore, for its certificate."""
    version: Annotated[
        str, AfterValidator(_check_version), Field(json_schema_extra={"pattern": _VERSION})
    ] = "1.23.1"
    """Version of CloudCore and EdgeCore."""
    mqtt: Literal["internal", "both", "external"] = "external"
    """Broker of each device: EdgeCore's own, one that stands beside it, or both."""
    cgroup_driver: Literal["systemd", "cgroupfs"] = "systemd"
    """What the container runtime of the devices uses."""
