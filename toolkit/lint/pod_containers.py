"""Containers of pods that the API server refuses, and Volcano's webhook with it. One rule a function.

Source: k8s.io/kubernetes v1.35.3, pkg/apis/core/validation (validateContainers and below), which the webhook runs over
each task's template. Beside this file: `pod_settings` (pod, security, probes) and `pod_placement`; `check` runs them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal

from toolkit.errors import Severity
from toolkit.lint.document import Document, ValuePath, mapping, sequence, text
from toolkit.lint.gang_document import is_gang, written_anew
from toolkit.lint.name_forms import (
    LABEL_FORM,
    LONGEST_PORT_NAME,
    is_environment_name,
    is_label,
    is_port_name,
    is_qualified,
    is_subdomain,
)
from toolkit.lint.pod_templates import GPU, PodTemplate, pod_templates, resources
from toolkit.lint.quantity import parse_quantity, whole
from toolkit.lint.requests import container_request
from toolkit.lint.rule import Finding, rule

REFUSED = "the API server refuses the pod"
_STANDARD = frozenset({"cpu", "memory", "ephemeral-storage"})
_LAST_PORT = 65535
_PROTOCOLS = frozenset({"TCP", "UDP", "SCTP"})
_VALUE_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_KEY = re.compile(r"(?!\.\.?$)[-._a-zA-Z0-9]{1,253}")


@rule(
    "L321",
    Severity.ERROR,
    why=REFUSED,
    cure="give the pod at least one container, each with a name of its own and an image",
)
def containers(document: Document) -> Iterator[Finding]:
    """A pod has a container, and each has a name of its own and an image."""
    for template in pod_templates(document):
        if not sequence(template.spec.get("containers")):
            yield Finding((*template.path, "containers"), "the pod has no container")
        names = Counter(text(container.get("name")) for _, container in template.containers())
        for path, container in template.containers():
            name = text(container.get("name"))
            if not is_label(name):
                yield Finding(
                    (*path, "name"), f"container name {container.get('name')!r} is not {LABEL_FORM}"
                )
            elif names[name] > 1:
                yield Finding((*path, "name"), f"two containers are called {name!r}")
            if not text(container.get("image")):
                yield Finding((*path, "image"), "the container has no image")


@rule(
    "L322",
    Severity.ERROR,
    why=REFUSED,
    cure="write amounts such as 500m, 2 or 8Gi, requests not above limits, and equal whole numbers for devices",
)
def amounts(document: Document) -> Iterator[Finding]:
    """Requests and limits are amounts, limits not below requests; devices come whole and as limits."""
    for template in pod_templates(document):
        for path, container in template.containers():
            for which in ("limits", "requests"):
                for name, value in resources(container, which).items():
                    if name == GPU:
                        continue  # `pods` speaks of GPUs
                    place = (*path, "resources", which, name)
                    yield from _amount(
                        name, value, place, strict=is_gang(document) and not written_anew(document)
                    )
            yield from _request_against_limit(container, (*path, "resources"))
            asked = container_request(container)
            if any(name.startswith("hugepages-") for name in asked) and not {"cpu", "memory"} & set(asked):
                yield Finding((*path, "resources"), "huge pages need cpu or memory beside them")


@rule(
    "L323",
    Severity.ERROR,
    why=REFUSED,
    cure="write name and value as texts, or one of valueFrom's sources",
)
def environment(document: Document) -> Iterator[Finding]:
    """A variable has a name and a text, or comes from exactly one source."""
    for template in pod_templates(document):
        for path, container in template.containers():
            seen: set[str] = set()
            for index, variable in enumerate(map(mapping, sequence(container.get("env")))):
                place: ValuePath = (*path, "env", index)
                name = text(variable.get("name"))
                if not name or (is_gang(document) and not is_environment_name(name)):
                    yield Finding((*place, "name"), f"{variable.get('name')!r} cannot name a variable")
                if is_gang(document) and name in seen:
                    yield Finding((*place, "name"), f"{name} is set twice")
                seen.add(name)
                yield from _value(variable, place)


@rule(
    "L324",
    Severity.ERROR,
    why=REFUSED,
    cure="write numbers from 1 to 65535, names of up to 15 of a-z, 0-9 and -, and each host port once",
)
def ports(document: Document) -> Iterator[Finding]:
    """Ports are numbers from 1 to 65535 with a known protocol, and no two want the same port of the machine."""
    for template in pod_templates(document):
        on_host = template.spec.get("hostNetwork") is True
        taken: set[tuple[int, str, str]] = set()
        for path, container in template.containers(init=False):
            names: set[str] = set()
            own: set[tuple[int, str]] = set()
            for index, port in enumerate(map(mapping, sequence(container.get("ports")))):
                place: ValuePath = (*path, "ports", index)
                yield from _port(port, place, on_host=on_host)
                name = text(port.get("name"))
                if name and name in names:
                    yield Finding((*place, "name"), f"two ports are called {name!r}")
                names.add(name)
                protocol = text(port.get("protocol")) or "TCP"
                number = whole(port.get("containerPort"), 0)
                if is_gang(document) and (number, protocol) in own:
                    yield Finding(place, f"port {number} {protocol} stands there twice")
                own.add((number, protocol))
                held = whole(port.get("hostPort"), 0)
                key = (held, protocol, text(port.get("hostIP")))
                if held and key in taken:
                    yield Finding((*place, "hostPort"), f"port {held} of the machine is taken twice")
                taken.add(key)


@rule(
    "L325",
    Severity.ERROR,
    why=REFUSED,
    cure="give each volume its own name and one source, and mount volumes that are there, each path once",
)
def volumes(document: Document) -> Iterator[Finding]:
    """Volumes have names of their own and no second source; mounts name a volume and a path of their own."""
    for template in pod_templates(document):
        listed = [mapping(volume) for volume in sequence(template.spec.get("volumes"))]
        names = Counter(text(volume.get("name")) for volume in listed)
        for index, volume in enumerate(listed):
            path: ValuePath = (*template.path, "volumes", index)
            name = text(volume.get("name"))
            if not is_label(name):
                yield Finding((*path, "name"), f"volume name {volume.get('name')!r} is not {LABEL_FORM}")
            elif names[name] > 1:
                yield Finding((*path, "name"), f"two volumes are called {name!r}")
            sources = [key for key, value in volume.items() if key != "name" and value is not None]
            if len(sources) > 1:  # none is emptyDir
                yield Finding(path, f"volume {name!r} has {len(sources)} sources ({', '.join(sources)})")
            yield from _source(volume, path)
        yield from _mounts(template, set(names))


def _amount(name: str, value: object, path: ValuePath, *, strict: bool) -> Iterator[Finding]:
    extended = "/" in name and "kubernetes.io/" not in name
    huge = name.startswith("hugepages-")
    if not is_qualified(name) or (not extended and "/" not in name and not huge and name not in _STANDARD):
        yield Finding(path, f"{name!r} is no resource of a container")
    elif extended and (name.startswith("requests.") or not is_qualified(f"requests.{name}")):
        yield Finding(path, f"{name!r} cannot name a device")
    amount = parse_quantity(value)
    if amount is None and isinstance(value, float) and not strict:
        amount = Decimal(str(value))
    if amount is None:
        yield Finding(path, f"{value!r} is no amount")
    elif amount < 0:
        yield Finding(path, f"{value!r} is below 0")
    elif extended and (amount * 1000).to_integral_value() % 1000:
        yield Finding(path, f"{name} comes in whole pieces, not {value!r}")


def _request_against_limit(container: Mapping[str, object], path: ValuePath) -> Iterator[Finding]:
    limits = resources(container, "limits")
    for name, value in resources(container, "requests").items():
        asked, most = parse_quantity(value), parse_quantity(limits.get(name))
        # What is in Kubernetes' own domain may be overcommitted: standard amounts, and kubernetes.io/batch-cpu.
        devices = name.startswith("hugepages-") or ("/" in name and "kubernetes.io/" not in name)
        if name == GPU or asked is None or (name in limits and most is None):
            continue
        if most is None:
            if devices:
                yield Finding((*path, "requests", name), f"{name} needs the same amount as limit")
        elif devices and asked != most:
            yield Finding(
                (*path, "requests", name), f"{name}: request {value} must equal limit {limits[name]}"
            )
        elif asked > most:
            yield Finding((*path, "requests", name), f"{name}: request {value} is above limit {limits[name]}")


def _value(variable: Mapping[str, object], path: ValuePath) -> Iterator[Finding]:
    value, source = variable.get("value"), variable.get("valueFrom")
    if value is not None and not isinstance(value, str):
        yield Finding((*path, "value"), f"{value!r} is no text: put quotes around it")
    if source is None:
        return
    named = [key for key in _VALUE_SOURCES if mapping(source).get(key) is not None]
    if len(named) != 1:
        yield Finding((*path, "valueFrom"), f"names {len(named)} sources instead of one")
    elif value:
        yield Finding((*path, "valueFrom"), "stands beside a value")
    for key in ("configMapKeyRef", "secretKeyRef"):
        given = mapping(mapping(source).get(key))
        if key in named and not (
            is_subdomain(text(given.get("name"))) and _KEY.fullmatch(text(given.get("key")))
        ):
            yield Finding((*path, "valueFrom", key), "needs the name of an object and a key of it")


def _port(port: Mapping[str, object], path: ValuePath, *, on_host: bool) -> Iterator[Finding]:
    number, held = port.get("containerPort"), port.get("hostPort")
    if not 1 <= whole(number, 0) <= _LAST_PORT:
        yield Finding((*path, "containerPort"), f"{number!r} is no number from 1 to {_LAST_PORT}")
    if held is not None and not 0 <= whole(held, -1) <= _LAST_PORT:
        yield Finding((*path, "hostPort"), f"{held!r} is no number from 1 to {_LAST_PORT}")
    elif on_host and held and held != number:
        yield Finding((*path, "hostPort"), f"with hostNetwork it must be {number}, not {held}")
    if port.get("protocol") is not None and port.get("protocol") not in _PROTOCOLS:
        yield Finding(
            (*path, "protocol"), f"{port.get('protocol')!r} is none of {', '.join(sorted(_PROTOCOLS))}"
        )
    name = port.get("name")
    if name and not is_port_name(text(name)):
        yield Finding(
            (*path, "name"),
            f"port name {name!r} is not up to {LONGEST_PORT_NAME} of a-z, 0-9 and -, with a letter",
        )


def _source(volume: Mapping[str, object], path: ValuePath) -> Iterator[Finding]:
    claim = volume.get("persistentVolumeClaim")
    if claim is not None and not text(mapping(claim).get("claimName")):
        yield Finding((*path, "persistentVolumeClaim"), "names no claim")
    host = volume.get("hostPath")
    if host is not None:
        where = text(mapping(host).get("path"))
        if not where or ".." in where.split("/"):
            yield Finding((*path, "hostPath"), f"path {where!r} is empty or holds '..'")
    empty = mapping(volume.get("emptyDir"))
    size = parse_quantity(empty.get("sizeLimit"))
    if empty.get("sizeLimit") is not None and (size is None or size < 0):
        yield Finding((*path, "emptyDir", "sizeLimit"), f"{empty.get('sizeLimit')!r} is no amount")
    for key in ("configMap", "secret"):
        given = volume.get(key)
        naming = "name" if key == "configMap" else "secretName"
        if given is not None and not text(mapping(given).get(naming)):
            yield Finding((*path, key), f"has no {naming}")


def _mounts(template: PodTemplate, volumes_there: set[str]) -> Iterator[Finding]:
    for path, container in template.containers():
        paths: set[str] = set()
        for index, mount in enumerate(map(mapping, sequence(container.get("volumeMounts")))):
            place: ValuePath = (*path, "volumeMounts", index)
            name, where, below = (text(mount.get(key)) for key in ("name", "mountPath", "subPath"))
            if name not in volumes_there:
                yield Finding((*place, "name"), f"there is no volume {name!r}")
            if not where or where in paths:
                yield Finding((*place, "mountPath"), f"mount path {where!r} is empty or used twice")
            if below.startswith("/") or ".." in below.split("/"):
                yield Finding((*place, "subPath"), f"{below!r} leaves the volume")
            paths.add(where)


RULES = (
    containers,
    amounts,
    environment,
    ports,
    volumes,
)
"""What is refused in containers, in order of code."""
