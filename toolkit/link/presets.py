"""What a kind of broker can take. A device's configuration and tiers.yaml choose a preset by name.

`default` fits Mosquitto, EMQX, HiveMQ and amqtt; `aws` fits AWS IoT Core, whose payloads end at 128 KiB. Comes before
`settings`; `paho_link` keeps to it, `protocol.serve` and `protocol.transfer` size their frames by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

KIB = 1024
MIB = 1024 * KIB

PresetName = Literal["default", "aws"]


@dataclass(frozen=True)
class Preset:
    """Limits of a broker and of our side of the connection."""

    max_payload_bytes: int
    """Largest MQTT payload that we publish, and the size of a full frame."""
    max_unsent_bytes: int
    """Bytes that `publish` hands over before it waits for the network."""
    max_unacknowledged: int
    """QoS 1 messages on their way at once."""
    keepalive_seconds: int
    """Silence after which a connection counts as dead."""


PRESETS: Final[dict[PresetName, Preset]] = {
    "default": Preset(
        max_payload_bytes=256 * KIB, max_unsent_bytes=4 * MIB, max_unacknowledged=64, keepalive_seconds=30
    ),
    "aws": Preset(
        max_payload_bytes=120 * KIB, max_unsent_bytes=512 * KIB, max_unacknowledged=64, keepalive_seconds=60
    ),
}
