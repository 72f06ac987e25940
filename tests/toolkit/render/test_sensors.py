"""A sensor becomes one DeviceModel and one Device for each device that has it, in KubeEdge's words and milliseconds."""

from __future__ import annotations

import pytest

from toolkit.render.kubeedge_config import edge_config
from toolkit.render.objects import render

PROBE = {"kind": "ultrasound", "mapper": "dicom", "connection": {"port": 104}}


@pytest.fixture
def with_sensor(topology):
    """Give `with_sensor(**keys)`: kind → objects of the hospital with a sensor `probe`."""

    def rendered(**keys):
        found = {}
        for each in render(topology({"sensors": {"probe": PROBE | keys}})):
            if each.api_version.startswith("devices.kubeedge.io/"):
                found.setdefault(each.kind, []).append(each.body)
        return found

    return rendered


def test_only_devices_that_have_it_and_the_nearer_connection_wins(with_sensor):
    found = with_sensor(
        pools=["endoscopy"], devices={"ultrasound-007": {"port": 11112, "address": "192.0.2.7"}}
    )
    specs = {each["metadata"]["name"]: each["spec"] for each in found["Device"]}
    assert set(specs) == {"probe.endo-01", "probe.endo-02", "probe.ultrasound-007"}
    assert {name: spec["nodeName"] for name, spec in specs.items()} == {
        name: name.removeprefix("probe.") for name in specs
    }
    assert specs["probe.endo-01"]["protocol"] == {"protocolName": "dicom", "configData": {"port": 104}}
    assert specs["probe.ultrasound-007"]["protocol"]["configData"] == {"port": 11112, "address": "192.0.2.7"}
    assert len(found["DeviceModel"]) == 1
    assert {spec["deviceModelRef"]["name"] for spec in specs.values()} == {"probe"}


def test_a_known_kind_brings_properties_and_an_own_one_replaces_its(with_sensor):
    own = {"depth": {"type": "int", "unit": "mm", "access": "write", "maximum": 400}}
    (model,) = with_sensor(devices={"endo-01": {}}, properties=own)["DeviceModel"]
    properties = {each["name"]: each for each in model["spec"]["properties"]}
    assert {"probe-frequency", "depth", "gain", "frame-rate"} <= set(properties)
    assert properties["depth"] == {
        "name": "depth", "type": "INT", "accessMode": "ReadWrite", "unit": "mm", "maximum": "400",
    }  # fmt: skip
    assert properties["frame-rate"]["accessMode"] == "ReadOnly"
    assert properties["gain"]["minimum"] == "-30"


def test_every_property_of_a_device_is_one_of_its_model_with_its_own_visitor(with_sensor):
    own = {"depth": {"type": "int", "visitor": {"tag": "0018,5050"}}}
    found = with_sensor(devices={"endo-01": {}}, properties=own, read="500ms", report="2m")
    (model,), (device,) = found["DeviceModel"], found["Device"]
    listed = device["spec"]["properties"]
    assert [each["name"] for each in listed] == [each["name"] for each in model["spec"]["properties"]]
    assert {(each["collectCycle"], each["reportCycle"]) for each in listed} == {(500, 120_000)}
    assert {each["visitors"]["protocolName"] for each in listed} == {"dicom"}
    assert next(each for each in listed if each["name"] == "depth")["visitors"]["configData"] == {
        "tag": "0018,5050"
    }
    assert all("status" not in body for bodies in found.values() for body in bodies)


def test_without_sensors_nothing_and_with_them_the_twin_is_on(hospital, with_sensor, topology):
    assert not [each for each in render(hospital) if each.api_version.startswith("devices.")]
    site = topology({"sensors": {"probe": PROBE | {"pools": ["endoscopy"]}}})
    assert "deviceTwin:\n    enable: true" in edge_config(site, "endoscopy")
    assert with_sensor(pools=["endoscopy"])
