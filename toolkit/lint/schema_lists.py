"""Lists that are sets or maps to the server: an entry that stands there twice. Part of `schema`.

JSON schema cannot say that two items must differ in some keys; the server refuses them all the same. Source:
x-kubernetes-list-type and x-kubernetes-list-map-keys of structural schemas.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from toolkit.lint.document import ValuePath, mapping, sequence
from toolkit.lint.rule import Finding
from toolkit.lint.schema_values import Schema

_DEFAULTS = {"protocol": "TCP"}
"""Keys that may be left out of an item, and what they are then."""


def twice(schema: Schema, body: object) -> Iterator[Finding]:
    """Find the items that stand twice in a set or map, anywhere in an object."""
    yield from _below(mapping(schema.get("$defs")), schema, body, ())


def _below(
    definitions: Mapping[str, object], schema: Mapping[str, object], value: object, path: ValuePath
) -> Iterator[Finding]:
    reference = schema.get("$ref")
    if isinstance(reference, str):
        schema = mapping(definitions.get(reference.rpartition("/")[2]))
    if isinstance(value, Mapping):
        properties, others = mapping(schema.get("properties")), mapping(schema.get("additionalProperties"))
        for name, each in value.items():
            yield from _below(definitions, mapping(properties.get(name)) or others, each, (*path, str(name)))
    elif isinstance(value, list | tuple):
        yield from _in_list(schema, value, path)
        for index, each in enumerate(value):
            yield from _below(definitions, mapping(schema.get("items")), each, (*path, index))


def _in_list(schema: Mapping[str, object], values: Sequence[object], path: ValuePath) -> Iterator[Finding]:
    how, keys = (
        schema.get("x-kubernetes-list-type"),
        [*map(str, sequence(schema.get("x-kubernetes-list-map-keys")))],
    )
    if how not in {"set", "map"}:
        return
    seen: set[str] = set()
    for index, each in enumerate(values):
        known = [mapping(each).get(key, _DEFAULTS.get(key)) for key in keys] if how == "map" else each
        written = json.dumps(known, sort_keys=True, default=str)
        if written in seen:
            what = " and ".join(f"{key} {value!r}" for key, value in zip(keys, sequence(known), strict=False))
            yield Finding((*path, index), f"{what or written} stands here twice")
        seen.add(written)
