"""What is published fits every broker that tiers.yaml can name; what does not fit is refused before it is sent."""

from __future__ import annotations

from typing import get_args

import pytest

from toolkit.errors import TiersError
from toolkit.link.limits import check_payload
from toolkit.link.presets import OF_BROKER, PRESETS, PresetName
from toolkit.link.settings import LinkSettings, settings_from_url
from toolkit.topology.broker import Broker
from toolkit.wire.device_config import BrokerConfig, DeviceConfig, decode_device_config
from toolkit.wire.document import MAX_DOCUMENT_BYTES, encode_json
from toolkit.wire.frame import MAX_FRAME_BYTES
from toolkit.wire.topics import Topics

NAMES = pytest.mark.parametrize("name", get_args(PresetName))


def settings(name: PresetName) -> LinkSettings:
    return settings_from_url("mqtts://broker.example", "me", preset_name=name)


def test_tiers_yaml_names_each_preset() -> None:
    named = get_args(Broker.model_fields["preset"].annotation)
    assert set(OF_BROKER) == set(named)
    assert set(OF_BROKER.values()) == set(PRESETS) == set(get_args(PresetName))


@NAMES
def test_a_device_reads_the_preset_that_is_rendered_for_it(name: PresetName) -> None:
    config = DeviceConfig(
        site="s", device="d", state="state", keyring_file="k", broker=BrokerConfig(host="b", preset=name)
    )
    assert decode_device_config(encode_json(config), what="it") == config
    # A daemon from before knows two presets; whoever names another one says so by the number.
    assert config.format == (1 if name in {"default", "aws"} else 2)


@NAMES
def test_topics_frames_and_windows_fit(name: PresetName) -> None:
    preset, topics = PRESETS[name], Topics("s" * 63)
    made = (
        topics.manifest("a" * 64), topics.desired("d" * 63), topics.rollout("r" * 63), topics.put("d" * 63),
        topics.echo("c"), topics.course("r"),
    )  # fmt: skip
    assert max(topic.count("/") for topic in made) <= preset.max_slashes
    assert max(len(topic.encode()) for topic in made) <= 256  # AWS IoT Core
    assert preset.max_payload_bytes <= MAX_FRAME_BYTES
    assert preset.max_window_bytes >= 2 * preset.max_payload_bytes


@NAMES
def test_what_is_too_large_is_refused_with_the_preset_and_the_cure(name: PresetName) -> None:
    preset = PRESETS[name]
    check_payload(settings(name), "t", bytes(preset.max_payload_bytes))
    with pytest.raises(TiersError, match=f"preset '{name}'") as caught:
        check_payload(settings(name), "t", bytes(preset.max_payload_bytes + 1))
    assert "broker.preset" in caught.value.hint
    check_payload(settings(name), "t", bytes(preset.max_retained_bytes), retain=True)
    with pytest.raises(TiersError, match="a retained message"):
        check_payload(settings(name), "t", bytes(preset.max_retained_bytes + 1), retain=True)


def test_only_azure_cannot_keep_the_largest_document_when_it_is_sealed() -> None:
    sealed = MAX_DOCUMENT_BYTES * 4 // 3 + 1024  # base64, and a signature
    small = {name for name, preset in PRESETS.items() if preset.max_retained_bytes < sealed}
    assert small == {"azure"}
