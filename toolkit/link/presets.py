"""What a kind of broker can take. A device's configuration and tiers.yaml choose a preset by name.

`default` fits Mosquitto and amqtt. Comes before `settings`; the links keep to it, `protocol.serve` and
`protocol.transfer` size frames and window by it, and `tiers doctor --broker` holds a real broker against it.

Where the numbers come from: mosquitto.org/man/mosquitto-conf-5.html (2.1 ends a packet at 2,000,000 bytes by itself),
docs.emqx.com/en/emqx/latest/configuration (mqtt.max_packet_size, mqtt.max_inflight, mqtt.max_mqueue_len),
docs.hivemq.com/hivemq/latest/user-guide/restrictions.html (server receive maximum),
docs.aws.amazon.com/general/latest/gr/iot-core.html,
learn.microsoft.com/azure/event-grid/quotas-limits and mqtt-retain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

KIB = 1024
MIB = 1024 * KIB

PresetName = Literal["default", "emqx", "hivemq", "aws", "azure"]


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
    max_retained_bytes: int = 256 * KIB
    """Largest payload that the broker keeps; a sealed manifest has at most 88 KiB."""
    max_window_bytes: int = 8 * MIB
    """Most that a device asks for at once: what the broker queues for one client, with room to spare."""
    max_slashes: int = 100
    """Levels of a topic less one; the prefix of a shared subscription does not count."""
    shared_subscriptions: bool = True
    """Whether depots can share requests by MQTT 5; else each answers all."""
    needs_tls: bool = False
    """Whether it takes no plain connection."""


PRESETS: Final[Mapping[PresetName, Preset]] = {
    "default": Preset(
        max_payload_bytes=256 * KIB, max_unsent_bytes=4 * MIB, max_unacknowledged=64, keepalive_seconds=30
    ),
    # One mebibyte a packet, 32 messages in flight, 1000 in the queue, of which the oldest is dropped.
    "emqx": Preset(
        max_payload_bytes=256 * KIB, max_unsent_bytes=4 * MIB, max_unacknowledged=32, keepalive_seconds=30
    ),
    # Takes ten unacknowledged messages from a client.
    "hivemq": Preset(
        max_payload_bytes=256 * KIB, max_unsent_bytes=4 * MIB, max_unacknowledged=10, keepalive_seconds=30
    ),
    # 128 KiB a payload, retained or not, 512 KiB a second for each connection.
    "aws": Preset(
        max_payload_bytes=120 * KIB, max_unsent_bytes=512 * KIB, max_unacknowledged=64, keepalive_seconds=60,
        max_retained_bytes=120 * KIB, max_window_bytes=MIB, max_slashes=7, needs_tls=True,
    ),
    # 512 KB a message, 64 KB when retained, 1 MB or 100 messages in a queue, 1 MB a second for each session.
    "azure": Preset(
        max_payload_bytes=120 * KIB, max_unsent_bytes=512 * KIB, max_unacknowledged=16, keepalive_seconds=60,
        max_retained_bytes=64_000, max_window_bytes=512 * KIB, max_slashes=14, shared_subscriptions=False,
        needs_tls=True,
    ),
}  # fmt: skip

OF_BROKER: Final[Mapping[str, PresetName]] = {
    "mosquitto": "default", "emqx": "emqx", "hivemq": "hivemq", "aws": "aws", "azure": "azure",
}  # fmt: skip
"""`broker.preset` of tiers.yaml → the preset that a device's configuration names."""
