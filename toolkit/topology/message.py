"""A small message between the cloud and devices through KubeEdge's router: HTTP on one side, MQTT or HTTP on the other.

Stands under topology; render makes a Rule and RuleEndpoints of it. What must not get lost goes by a route: the router
keeps nothing, and has neither TLS nor a login.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from toolkit.topology.names import HttpPath, Name, NodeName, Topic, WebUrl
from toolkit.topology.noun import Noun
from toolkit.topology.units import Bytes


class MessageSource(Noun):
    """Where a message comes from: an HTTP call to CloudCore, or a topic of the broker on a device."""

    model_config = ConfigDict(title="MessageSource")

    path: HttpPath | None = None
    """Path below CloudCore's router: POST http://CLOUDCORE:9443/DEVICE/NAMESPACE/PATH."""
    topic: Topic | None = None
    """Topic of the broker on the device."""
    devices: tuple[NodeName, ...] = ()
    """Devices whose broker is listened to; with `topic` only."""
    pools: tuple[Name, ...] = ()
    """Edge pools whose devices are listened to; with `topic` only."""


class MessageTarget(Noun):
    """Where a message goes: a topic or a service of the device that the call names, or an address of the cloud."""

    model_config = ConfigDict(title="MessageTarget")

    topic: Topic | None = None
    """Topic of the broker on the device."""
    path: HttpPath | None = None
    """Path of an HTTP service on the device's loopback."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port of that service."""
    url: WebUrl | None = None
    """Address that CloudCore calls."""


class Message(Noun):
    """A small message that may be lost."""

    source: MessageSource = Field(alias="from")
    """Where it comes from."""
    target: MessageTarget = Field(alias="to")
    """Where it goes."""
    at_most: Bytes | None = None
    """Size of the largest one, to be refused here and not on the way."""
    may_be_lost: bool = False
    """Says that losing it, and anybody reading or sending it, does no harm; without it there is a warning."""
