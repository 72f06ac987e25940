"""The MQTT broker between the cloud and the devices.

Stands under topology; link connects to it, render writes it into the devices' configuration.
"""

from typing import Annotated, Literal

from pydantic import Field

from toolkit.topology.names import BrokerUrl, Image, Name
from toolkit.topology.noun import Noun
from toolkit.topology.secret import Secret
from toolkit.topology.storage import Volume
from toolkit.topology.units import Bytes


class Deploy(Noun):
    """A Mosquitto of ours in the cluster. Everybody shows a certificate; its name says which topics are theirs."""

    pool: Name
    """Pool whose machines may run it."""
    certificate: Secret
    """Secret of the type kubernetes.io/tls with the broker's own certificate and key."""
    clients: Secret
    """Secret with the authority that signs the certificates of devices and of the cloud's side."""
    revoked: Secret | None = None
    """Secret with that authority's list of revoked certificates; nothing means that none is looked at."""
    storage: Volume
    """Volume that keeps what is retained while the broker is away."""
    expose: Literal["load-balancer", "node-port", "cluster"] = "load-balancer"
    """How devices reach it: an address of its own, a port of every machine, or not at all from outside."""
    node_port: Annotated[int, Field(ge=30000, le=32767)] | None = None
    """The port of every machine, with expose: node-port; nothing lets the cluster choose."""
    memory: Bytes = Bytes.parse("512MiB")
    """Most memory that it may take; a quarter more than what it gives to messages."""
    image: Image = "eclipse-mosquitto:2.0.21"
    """Image of Mosquitto 2."""


class Broker(Noun):
    """Where devices and the cloud meet."""

    url: BrokerUrl
    """`mqtts://host:8883`; `mqtt://` has no encryption."""
    credentials: Secret | None = None
    """Reference to the login of the cloud's side."""
    ca: Secret | None = None
    """Reference to the certificate of the authority that signed the broker's; nothing means the system's."""
    certificate: Secret | None = None
    """Reference to the certificate of the cloud's side, when the broker knows clients by certificates."""
    key: Secret | None = None
    """Reference to the key of that certificate."""
    preset: Literal["mosquitto", "emqx", "hivemq", "aws", "azure"] = "mosquitto"
    """Whose limits on packets and queues are kept."""
    inference: bool = False
    """Devices also answer questions to their models over MQTT, of everybody whom the broker lets in."""
    deploy: Deploy | None = None
    """Runs the broker in the cluster; nothing means that it is there already."""
