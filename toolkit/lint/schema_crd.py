"""A CustomResourceDefinition → strict JSON schemas, one a served version. Between the files of CRDs and `schema`.

What the API server does by words of its own is said in plain JSON schema here: objects with named fields are closed
(but not inside allOf, anyOf, oneOf and not, where only conditions stand), int-or-string becomes two types, nullable a
third, an embedded resource needs apiVersion, kind and metadata. Source: structural schemas of
k8s.io/apiextensions-apiserver v1.35. Rules in CEL (x-kubernetes-validations) are left to the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolkit.lint.document import mapping, sequence, text
from toolkit.lint.schema_core import METADATA, metadata_definitions, named_root
from toolkit.lint.schema_values import INT32, Schema

_COPIED = frozenset(
    {
        "enum", "pattern", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
        "minimum", "maximum", "multipleOf", "uniqueItems", "required",
        "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    }
)  # fmt: skip
_CONDITIONS = ("allOf", "anyOf", "oneOf")
_KEPT = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING = [{"type": ["integer"]}, {"type": ["string"]}]
_EMBEDDED: Schema = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {"type": "object"},
}


def served_schemas(crd: Mapping[str, object]) -> Iterator[tuple[str, str, Mapping[str, object]]]:
    """Give apiVersion, kind and openAPIV3Schema of each version that a CRD serves."""
    spec = mapping(crd.get("spec"))
    group, kind = text(spec.get("group")), text(mapping(spec.get("names")).get("kind"))
    for version in map(mapping, sequence(spec.get("versions"))):
        schema = mapping(mapping(version.get("schema")).get("openAPIV3Schema"))
        if version.get("served") and schema:
            yield f"{group}/{text(version.get('name'))}", kind, schema


def crd_schema(kubernetes: str, api_version: str, kind: str, schema: Mapping[str, object]) -> Schema:
    """Turn the openAPIV3Schema of a version into a strict JSON schema of its objects.

    Args:
        kubernetes: version of Kubernetes, whose metadata every object has.
        api_version: such as batch.volcano.sh/v1alpha1.
        kind: such as Job.
        schema: openAPIV3Schema of the version.

    Raises:
        UsageError, MissingExtraError: there are no schemas of this Kubernetes.
    """
    root = _converted(schema, condition=False)
    root["properties"] = {
        **mapping(root.get("properties")),
        "apiVersion": {"type": "string", "enum": [api_version]},
        "kind": {"type": "string", "enum": [kind]},
        "metadata": {"$ref": f"#/$defs/{METADATA}"},
    }
    if not schema.get(_KEPT):
        root["additionalProperties"] = False
    return {**root, "allOf": [named_root(kind)], "$defs": metadata_definitions(kubernetes)}


def _converted(schema: Mapping[str, object], *, condition: bool) -> Schema:
    """Convert a schema and all below it.

    Args:
        schema: OpenAPI of a CRD.
        condition: whether it stands inside allOf and its like: it restricts values, and says nothing of which fields
            there are.
    """
    strict: Schema = {key: value for key, value in schema.items() if key in _COPIED}
    _exclusive(schema, strict, "minimum", "exclusiveMinimum")
    _exclusive(schema, strict, "maximum", "exclusiveMaximum")
    if isinstance(schema.get("properties"), Mapping):
        strict["properties"] = {
            name: _converted(mapping(each), condition=condition)
            for name, each in mapping(schema["properties"]).items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            strict[key] = _converted(mapping(schema[key]), condition=condition)
        elif isinstance(schema.get(key), bool):
            strict[key] = schema[key]
    for key in _CONDITIONS:
        if key in schema:
            strict[key] = [_converted(mapping(each), condition=True) for each in sequence(schema[key])]
    if "not" in schema:
        strict["not"] = _converted(mapping(schema["not"]), condition=True)
    if isinstance(schema.get("type"), str):
        strict["type"] = [schema["type"]]
    return strict if condition else _structural(schema, strict)


def _structural(schema: Mapping[str, object], strict: Schema) -> Schema:
    """Say in JSON schema what the server's own words mean; only outside of conditions they count."""
    if schema.get("x-kubernetes-int-or-string"):
        strict["type"] = ["integer", "string"]
        if strict.get("anyOf") == _INT_OR_STRING:
            del strict["anyOf"]  # it says the same again, in a worse message
    if schema.get("nullable"):
        strict["type"] = [*sequence(strict.get("type")), "null"]
        if "enum" in strict:
            strict["enum"] = [*sequence(strict["enum"]), None]
    if schema.get("format") == "int32":
        strict = {**INT32, **strict}
    if schema.get("x-kubernetes-embedded-resource"):
        named = {"apiVersion", "kind", "metadata"}
        strict["required"] = sorted({*map(str, sequence(strict.get("required"))), *named})
        strict["properties"] = {**_EMBEDDED, **mapping(strict.get("properties"))}
    is_object = "properties" in strict or schema.get("type") == "object"
    if is_object and "additionalProperties" not in strict and not schema.get(_KEPT):
        strict["additionalProperties"] = False
    return strict


def _exclusive(schema: Mapping[str, object], strict: Schema, limit: str, flag: str) -> None:
    """Write OpenAPI's boolean exclusiveMinimum as JSON schema's number."""
    if schema.get(flag) is True and limit in strict:
        strict[flag] = strict.pop(limit)
