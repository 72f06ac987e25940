"""The MQTT broker between the cloud and the devices.

Stands under topology; link connects to it, render writes it into the devices' configuration.
"""

from typing import Literal

from toolkit.topology.names import BrokerUrl
from toolkit.topology.noun import Noun
from toolkit.topology.secret import Secret


class Broker(Noun):
    """Where devices and the cloud meet."""

    url: BrokerUrl
    """`mqtts://host:8883`; `mqtt://` has no encryption."""
    credentials: Secret | None = None
    """Reference to the login of the cloud's side."""
    ca: Secret | None = None
    """Reference to the certificate of the authority that signed the broker's; nothing means the system's."""
    preset: Literal["mosquitto", "emqx", "hivemq", "aws", "azure"] = "mosquitto"
    """Whose limits on packets and queues are kept."""
