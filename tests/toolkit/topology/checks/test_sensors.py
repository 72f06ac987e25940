"""Sensors at their edges: where they may stand, what they may hold, and what must not be in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.topology.load import examine

SITE = Path(__file__).parents[3] / "invalid" / "site.yaml"
CASE = "sensors: {probe: {mapper: dicom, kind: ultrasound, pools: [boxes], %s}}\n"


def problems(tmp_path, text):
    (tmp_path / "case.yaml").write_text(text)
    return examine([SITE, tmp_path / "case.yaml"], {}).problems


@pytest.mark.parametrize(
    ("keys", "codes"),
    [
        ("connection: {address: 192.0.2.1, port: 104, secure: true, gain: 1.5}", []),
        ("connection: {password: hunter2}", ["E0311"]),
        ("connection: {apiKey: hunter2}", ["E0311"]),
        ("devices: {box-1: {token: hunter2}}", ["E0311"]),
        ("properties: {a: {type: int, visitor: {secret: hunter2}}}", ["E0311"]),
        ("connection: {tokenizer: x}", []),
        ("properties: {a: {type: int, minimum: 2, maximum: 1}}", ["E0826"]),
        ("properties: {a: {type: double, minimum: 1, maximum: 1}}", []),
        ("properties: {a: {type: boolean, minimum: 1}}", ["E0826"]),
        ("properties: {a: {type: integer}}", ["E0301"]),
        ("properties: {1a: {type: int}}", ["E0316"]),
        ("properties: {saveFrame: {type: stream}}", []),
        ('properties: {a: {type: int, unit: "1 s"}}', ["E0309"]),
        ("pools: [boxes, gpu]", ["E0519"]),
        ("pools: [boxs]", ["E0401"]),
        ("devices: {gpu-001: {}}", ["E0824"]),
    ],
)
def test_what_is_taken_and_what_is_refused(tmp_path, keys, codes):
    text = CASE % keys
    if keys.startswith("pools"):
        text = text.replace("pools: [boxes], ", "")
    found = problems(tmp_path, text)
    assert [each.code for each in found] == codes
    assert "hunter2" not in "".join(f"{each}{each.excerpt}" for each in found), "a secret is shown"


def test_a_sensor_on_no_device(tmp_path):
    (found,) = problems(tmp_path, "sensors: {probe: {mapper: dicom, kind: endoscopy}}\n")
    assert found.code == "E0825"
    assert "no device has" in found.message
