"""Schemas of Kubernetes' own kinds: those that kubernetes-validate ships, made whole and made strict.

Read from that package's folder without importing it (it would bring jsonschema and more). All kinds stand in one file
of definitions; a kind's schema is its definition with those it leans on, so that nothing is resolved while validating.
`schema_values` adds what the server checks beyond fields and types. `schema` compiles and runs the result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from toolkit.errors import MissingExtraError, UsageError
from toolkit.lint.document import mapping, sequence
from toolkit.lint.schema_values import (
    BASE64,
    INT32,
    INT_OR_STRING,
    QUANTITY,
    Schema,
    name_of,
    required_of,
    values_of,
    whole_of,
)

KUBERNETES = "1.35"
"""The version whose schemas are taken when nobody says another: the newest one that Volcano 1.15 runs on."""
METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_REFERENCE = "#/$defs/"
_WHOLE = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": QUANTITY,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": INT_OR_STRING,
}
_OF_FORMAT: Mapping[object, Schema] = {"int32": INT32, "byte": BASE64}


def closest_version(wanted: str) -> str:
    """Name the newest version with schemas that is not newer than `wanted` (such as 1.32 or v1.32.4+k3s1).

    Raises:
        UsageError: `wanted` is no version, or older than all of them.
        MissingExtraError: kubernetes-validate is not installed.
    """
    found = re.match(r"^v?(\d+)\.(\d+)", wanted)
    if found is None:
        raise UsageError(f"'{wanted}' is no version of Kubernetes", hint=f"write it like {KUBERNETES}")
    limit = (int(found[1]), int(found[2]))
    older = [each for each in _versions() if each <= limit]
    if not older:
        oldest = ".".join(map(str, min(_versions())))
        raise UsageError(f"there are no schemas of Kubernetes {wanted}", hint=f"take {oldest} or newer")
    return ".".join(map(str, max(older)))


def core_kinds(kubernetes: str) -> frozenset[tuple[str, str]]:
    """Give apiVersion and kind of everything that a version of Kubernetes has. Raises as `closest_version` does."""
    return frozenset(_kinds(closest_version(kubernetes)))


def core_schema(kubernetes: str, api_version: str, kind: str) -> Schema | None:
    """Give the whole strict schema of a kind; None when this Kubernetes has no such kind.

    Raises:
        UsageError, MissingExtraError: as `closest_version` does.
    """
    version = closest_version(kubernetes)
    root = _kinds(version).get((api_version, kind))
    if root is None:
        return None
    definitions = {
        name: _with_values(name, _definitions(version)[name]) for name in _reachable(version, root)
    }
    return {"$ref": _REFERENCE + root, "allOf": [named_root(kind), whole_of(kind)], "$defs": definitions}


def metadata_definitions(kubernetes: str) -> dict[str, Schema]:
    """Give the definition of metadata with what it leans on, for schemas of custom resources."""
    version = closest_version(kubernetes)
    return {name: _with_values(name, _definitions(version)[name]) for name in _reachable(version, METADATA)}


def named_root(kind: str) -> Schema:
    """Give the schema that wants apiVersion, kind and a name that the server takes, or a prefix to make one of."""
    metadata = {
        "type": "object",
        "if": {"required": ["generateName"]},
        "else": {"required": ["name"]},
        "properties": {"name": {"type": "string", **name_of(kind)}},
    }
    return {
        "type": "object",
        "required": ["apiVersion", "kind", "metadata"],
        "properties": {"metadata": metadata},
    }


@cache
def _folder() -> Path:
    found = find_spec("kubernetes_validate")
    places = found.submodule_search_locations if found else None
    if not places:
        raise MissingExtraError("checking objects against the schemas of Kubernetes", extra="operator")
    return Path(places[0]) / "kubernetes-json-schema"


@cache
def _versions() -> tuple[tuple[int, int], ...]:
    named = (re.fullmatch(r"v(\d+)\.(\d+)\.\d+-local-strict", each.name) for each in _folder().iterdir())
    return tuple(sorted((int(each[1]), int(each[2])) for each in named if each))


@cache
def _definitions(version: str) -> Mapping[str, Schema]:
    import msgspec  # seven times as fast as json with this file of 1.5 MB

    text = (_folder() / f"v{version}.0-local-strict" / "_definitions.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, object])["$defs"]  # type: ignore[return-value]


@cache
def _kinds(version: str) -> Mapping[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for name, definition in _definitions(version).items():
        listed = sequence(definition.get("x-kubernetes-group-version-kind"))
        if len(listed) == 1:  # DeleteOptions and its like carry dozens and are no objects
            each = mapping(listed[0])
            group, plain = str(each.get("group") or ""), str(each.get("version"))
            found[f"{group}/{plain}" if group else plain, str(each.get("kind"))] = name
    return found


@cache
def _reachable(version: str, root: str) -> tuple[str, ...]:
    seen, ahead = {root: None}, [root]
    while ahead:
        for name in _references(_definitions(version)[ahead.pop()]):
            if name not in seen:
                seen[name] = None
                ahead.append(name)
    return tuple(seen)


def _references(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(_REFERENCE)
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _with_values(name: str, definition: Schema) -> Schema:
    """Lay the values over one definition; the definitions themselves stay as they were read."""
    if name in _WHOLE:
        return _WHOLE[name]
    whole = _formats(definition)
    properties = dict(mapping(whole.get("properties")))
    for field, extra in values_of(name):
        if field in properties:
            properties[field] = {**mapping(properties[field]), **extra}
    if properties:
        whole["properties"] = properties
    if required := required_of(name):
        whole["required"] = sorted({*map(str, sequence(whole.get("required"))), *required})
    return whole


def _formats(schema: Mapping[str, object]) -> Schema:
    """Turn the formats int32 and byte, which validators pass over, into ranges and patterns."""
    whole: Schema = {key: value for key, value in schema.items() if key != "description"}
    whole.update(_OF_FORMAT.get(schema.get("format"), {}))
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            whole[key] = _formats(mapping(schema[key]))
    if isinstance(schema.get("properties"), Mapping):
        whole["properties"] = {
            name: _formats(mapping(each)) for name, each in mapping(schema["properties"]).items()
        }
    return whole
