"""KubeEdge in a cluster: where its cloud side listens, and how devices join it.

Stands under cluster; render writes cloudcore.yaml and edgecore.yaml from it.
"""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from toolkit.topology.kubeedge_version import KubeEdgeVersion
from toolkit.topology.names import ImageDigest, NodeName, Repository
from toolkit.topology.noun import Noun
from toolkit.topology.secret import Secret
from toolkit.topology.units import Duration, Percent


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


IpAddress = Annotated[str, AfterValidator(_check_address)]
"""An IPv4 or IPv6 address, in its shortest form."""


class Prepull(Noun):
    """Images come to devices before a pod needs them, by a job of KubeEdge for each pool."""

    concurrency: Annotated[int, Field(ge=1, le=1000)] = 5
    """Devices that pull at the same time, for each CloudCore."""
    failures: Percent = Percent.parse("10%")
    """Devices that may fail before the job counts as failed."""
    timeout: Duration = Duration.parse("30m")
    """Longest time that one device may take."""
    retries: Annotated[int, Field(ge=0, le=100)] = 3
    """How often a device tries again to pull an image."""
    credentials: Secret | None = None
    """Reference to the registry's login: a Kubernetes Secret in the namespace of our objects."""


def _from_switch(value: object) -> object:
    """Let `prepull: true` stand for `prepull: {}`, and false for nothing."""
    return ({} if value else None) if isinstance(value, bool) else value


class Upgrade(Noun):
    """EdgeCore of a pool's devices moves to another version when somebody submits the job."""

    to: KubeEdgeVersion
    """Version that devices move to; of the same release as CloudCore, and not below it."""
    image: Repository = "kubeedge/installation-package"
    """Image with keadm and EdgeCore, without a tag: KubeEdge takes the version as tag."""
    digests: Mapping[Literal["amd64", "arm64"], ImageDigest] = {}
    """Digest of that image in that version, by architecture; a device refuses any other."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 1
    """Devices that are upgraded at the same time."""
    failures: Percent = Percent.parse("10%")
    """Devices that may fail before the job stops."""
    timeout: Duration = Duration.parse("10m")
    """Longest time that one device may take."""
    confirm: bool = False
    """Whether somebody says on each device when it may go on: keadm ctl confirm."""


class KubeEdge(Noun):
    """The KubeEdge that joins devices to a cluster."""

    addresses: Annotated[tuple[IpAddress, ...], Field(min_length=1)]
    """Addresses at which devices reach CloudCore; its certificate holds them all, devices dial the first."""
    names: tuple[NodeName, ...] = ()
    """DNS names of CloudCore, for its certificate."""
    version: KubeEdgeVersion = "1.23.1"
    """Version of CloudCore and EdgeCore."""
    mqtt: Literal["internal", "both", "external"] = "external"
    """Broker of each device for messages: EdgeCore's own, one that stands beside it, or both."""
    cgroup_driver: Literal["systemd", "cgroupfs"] = "systemd"
    """What the container runtime of the devices uses."""
    prepull: Annotated[
        Prepull | None, BeforeValidator(_from_switch, json_schema_input_type=bool | Prepull | None)
    ] = None
    """Pull images of our daemon to devices as soon as they are applied; true takes the defaults."""
