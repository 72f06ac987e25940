"""tiers.yaml as JSON Schema, for editors and for other tools.

Made from the nouns, so it cannot say anything else than they do: `tiers schema` prints it,
docs/reference/tiers.schema.json is the committed copy. References between names and sums are beyond JSON Schema;
`tiers validate` is the judge.
"""

import json

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from toolkit.topology.fields import key_of
from toolkit.topology.noun import Noun, as_written, texts_of
from toolkit.topology.topology import Topology

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""Dialect of the schema."""


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, with defaults in the words of tiers.yaml and the text under each field."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Give the schema of a noun, each key with its text."""
        made, noun = super().model_schema(schema), schema["cls"]
        texts = texts_of(noun) if issubclass(noun, Noun) else {}
        for name, text in texts.items():
            made["properties"][key_of(name, noun.model_fields[name])]["description"] = text
        return made

    def encode_default(self, dft: object) -> object:
        """Give a default the way it would be written."""
        return as_written(dft)


def schema() -> JsonSchemaValue:
    """Give the JSON Schema of tiers.yaml."""
    made = Topology.model_json_schema(by_alias=True, schema_generator=_Generator)
    _tidy(made)
    return {"$schema": DIALECT, **made}


def schema_text() -> str:
    """Give the JSON Schema as text, ready for a file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _tidy(node: object) -> None:
    """Drop the titles that repeat a key, and close maps whose keys have a pattern."""
    if isinstance(node, list):
        for item in node:
            _tidy(item)
    if not isinstance(node, dict):
        return
    _drop_null(node)
    if "patternProperties" in node:
        node.setdefault("additionalProperties", False)
    properties = node.get("properties")
    for inner in properties.values() if isinstance(properties, dict) else ():
        if isinstance(inner, dict):  # not so where a noun has a key that is called properties
            inner.pop("title", None)
    for inner in node.values():
        _tidy(inner)


def _drop_null(node: dict[str, object]) -> None:
    """Take null out of what a key may hold: no value means that the key is not written."""
    kinds = node.get("anyOf")
    if isinstance(kinds, list) and {"type": "null"} in kinds:
        rest = [kind for kind in kinds if kind != {"type": "null"}]
        del node["anyOf"]
        node.update(rest[0] if len(rest) == 1 else {"anyOf": rest})
    if "default" in node and node["default"] is None:
        del node["default"]
