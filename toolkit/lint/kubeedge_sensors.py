"""Devices and DeviceModels of KubeEdge that no mapper would serve. One rule a function; `check` runs them.

Source: kubeedge/kubeedge v1.23.1 (the CRDs of devices.kubeedge.io, mapper-framework, its release notes).
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.document import Document, mapping, sequence, text
from toolkit.lint.neighbours import namespace_of
from toolkit.lint.rule import Finding, rule, rule_around
from toolkit.lint.surroundings import Surroundings

_GROUP = "devices.kubeedge.io"
_LONGEST_CYCLE = 24 * 60 * 60 * 1000
"""Milliseconds of a day."""


def is_device(document: Document) -> bool:
    """Whether an object is a Device of KubeEdge."""
    return document.kind == "Device" and document.group == _GROUP


def _model(document: Document) -> str:
    return text(mapping(document.spec.get("deviceModelRef")).get("name"))


def _models(document: Document, around: Surroundings) -> dict[str, Document]:
    """Give the DeviceModels of a Device's namespace that are in the run, by name."""
    found = around.neighbours.of("DeviceModel", namespace_of(document))
    return {each.name: each for each in found if each.group == _GROUP}


@rule(
    "L259",
    Severity.ERROR,
    why="no EdgeCore gets it, so no mapper reads it",
    cure="write nodeName: the name of the node whose mapper reaches the machine",
)
def device_has_a_node(document: Document) -> Iterator[Finding]:
    """CloudCore sends a Device to the node that it names, and to no other."""
    if is_device(document) and not text(document.spec.get("nodeName")):
        yield Finding(("spec",), "no nodeName")


@rule_around(
    "L260",
    Severity.WARNING,
    why="the mapper does not know the properties and leaves the Device alone",
    cure="add the DeviceModel to the same namespace, or correct the name",
)
def model_is_there(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A Device names a model of its own namespace; where no model of it is in the run, nobody can say."""
    known = _models(document, around) if is_device(document) else {}
    if known and _model(document) not in known:
        message = f"there is no DeviceModel '{_model(document)}' beside {', '.join(sorted(known))}"
        yield Finding(("spec", "deviceModelRef"), message)


@rule_around(
    "L261",
    Severity.ERROR,
    why="the mapper finds neither type nor access of the property and does not read it",
    cure="use the names of the DeviceModel's properties",
)
def properties_are_the_models(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A Device says how properties are visited, its model what they are; they meet by name."""
    model = _models(document, around).get(_model(document)) if is_device(document) else None
    if model is None:
        return
    known = {text(mapping(each).get("name")) for each in sequence(model.spec.get("properties"))}
    for index, each in enumerate(map(mapping, sequence(document.spec.get("properties")))):
        if text(each.get("name")) not in known:
            yield Finding(("spec", "properties", index), f"the model has no property '{each.get('name')}'")


@rule(
    "L262",
    Severity.ERROR,
    why="the first reading is months away, and nothing says so",
    cure="write milliseconds: 10000 for ten seconds",
)
def cycles_are_milliseconds(document: Document) -> Iterator[Finding]:
    """mapper-framework multiplies by time.Millisecond; nanoseconds, as elsewhere in Kubernetes, become days."""
    if not is_device(document):
        return
    for index, each in enumerate(map(mapping, sequence(document.spec.get("properties")))):
        for key in ("collectCycle", "reportCycle"):
            cycle = each.get(key)
            if isinstance(cycle, int) and cycle > _LONGEST_CYCLE:
                days = cycle // _LONGEST_CYCLE
                yield Finding(("spec", "properties", index, key), f"{key} {cycle} is {days} days")


@rule(
    "L263",
    Severity.WARNING,
    why="old fields are converted or dropped, and since 1.23 the status is an object of its own, DeviceStatus",
    cure="write apiVersion: devices.kubeedge.io/v1beta1, without status",
)
def current_devices(document: Document) -> Iterator[Finding]:
    """v1alpha2 is still served; what is stored is v1beta1."""
    if document.group != _GROUP:
        return
    if text(document.body.get("apiVersion")).endswith("/v1alpha2"):
        yield Finding(("apiVersion",), "devices.kubeedge.io/v1alpha2")
    elif is_device(document) and mapping(document.body.get("status")):
        yield Finding(("status",), "a Device with a status")


RULES = (
    device_has_a_node,
    model_is_there,
    properties_are_the_models,
    cycles_are_milliseconds,
    current_devices,
)
"""Every rule of this file, in order of code."""
