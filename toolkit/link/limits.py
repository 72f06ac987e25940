"""What both MQTT links keep to, whatever the client library: sizes, and how long what is late is still worth sending.

Stands between `presets`, which say what a broker takes, and `paho_link` and `awscrt_link`, which publish.
"""

from __future__ import annotations

from typing import Final

from toolkit.errors import TiersError
from toolkit.link.settings import LinkSettings
from toolkit.wire.frame import MAX_FRAME_BYTES

MAX_PACKET_BYTES: Final = MAX_FRAME_BYTES + 4 * 1024
"""What we take from a broker (MQTT 5's Maximum Packet Size): our largest message, its topic and properties."""
STALE_SECONDS: Final = 30
"""MQTT 5's expiry of what is sent at QoS 0: whoever waits for it has asked again by then."""


def check_payload(settings: LinkSettings, topic: str, payload: bytes, *, retain: bool = False) -> None:
    """See that a broker takes a message of this size, and keeps it if it shall.

    Raises:
        TiersError: it is larger than the preset of the broker allows.
    """
    preset = settings.preset
    limit = min(preset.max_payload_bytes, preset.max_retained_bytes) if retain else preset.max_payload_bytes
    if len(payload) > limit:
        raise TiersError(
            f"a{' retained' if retain else ''} message of {len(payload)} bytes for {topic} is too large: the preset"
            f" '{settings.preset_name}' of broker {settings.address} ends at {limit}",
            hint="choose the preset that fits the broker (broker.preset)",
        )
