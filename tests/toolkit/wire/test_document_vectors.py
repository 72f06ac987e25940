"""Documents of each format number that was ever written are read, and the newest is written byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.wire.course import Course
from toolkit.wire.desired import Desired
from toolkit.wire.device_config import DeviceConfig
from toolkit.wire.device_settings import DeviceSettings
from toolkit.wire.document import decode_json, encode_json
from toolkit.wire.enrolment import EnrolmentAnswer
from toolkit.wire.keyring import Keyring
from toolkit.wire.manifest import Manifest
from toolkit.wire.plan import BuiltPlan
from toolkit.wire.report import Report
from toolkit.wire.rollout import Rollout

VECTORS = Path(__file__).parent / "vectors"
KINDS = {
    "built_plan": BuiltPlan,
    "course": Course,
    "enrolment": EnrolmentAnswer,
    "desired": Desired,
    "device_config": DeviceConfig,
    "device_settings": DeviceSettings,
    "keyring": Keyring,
    "manifest": Manifest,
    "report": Report,
    "rollout": Rollout,
}
"""Beginning of a file's name -> what is in it. Lines end a file, not the document."""
FILES = sorted(path.name for kind in KINDS for path in VECTORS.glob(f"{kind}-*.json"))


@pytest.mark.parametrize("name", FILES)
def test_it_is_read_and_says_the_same_when_it_is_written_again(name):
    kind, number, *_ = name.removesuffix(".json").split("-")
    value = decode_json((VECTORS / name).read_bytes(), KINDS[kind], what=name)
    assert value.format == int(number)
    assert decode_json(encode_json(value), KINDS[kind], what="written again") == value


@pytest.mark.parametrize("kind", KINDS)
def test_the_newest_is_written_byte_for_byte(kind):
    data = (VECTORS / f"{kind}-{KINDS[kind].FORMAT}.json").read_bytes().rstrip(b"\n")
    assert encode_json(decode_json(data, KINDS[kind], what="the vector")) == data


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_first_number_could_say_is_still_written_in_it(kind):
    value = decode_json((VECTORS / f"{kind}-1.json").read_bytes(), KINDS[kind], what="the vector")
    assert (
        type(value)(**{name: getattr(value, name) for name in value.__struct_fields__ if name != "format"})
        == value
    )
