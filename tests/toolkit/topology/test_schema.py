"""The JSON Schema accepts what `tiers validate` accepts, as far as a schema can tell."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from toolkit.topology.schema import schema, schema_text
from toolkit.topology.start import START

REPOSITORY = Path(__file__).resolve().parents[3]
INVALID = REPOSITORY / "tests" / "invalid"

validator = jsonschema_rs.validator_for(schema())


def test_the_schema_is_a_schema():
    jsonschema_rs.meta.validate(schema())


def test_the_committed_schema_is_fresh():
    committed = REPOSITORY / "docs" / "reference" / "tiers.schema.json"
    assert committed.read_text(encoding="utf-8") == schema_text(), "run: make docs"


def test_the_example_names_the_committed_schema():
    first = (REPOSITORY / "tiers.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=docs/reference/tiers.schema.json"


@pytest.mark.parametrize(
    "text", [(REPOSITORY / "tiers.yaml").read_text(), START, (INVALID / "site.yaml").read_text()]
)
def test_valid_files_fit_the_schema(text):
    assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize(
    "name",
    [
        "unknown-key", "missing-key", "wrong-kind", "unknown-version", "unknown-word", "size-without-unit",
        "rate-without-per-second", "duration-without-unit", "percent-without-sign", "threshold-without-sign",
        "out-of-range", "address-without-scheme", "secret-written-out", "model-without-version", "not-a-name",
        "key-without-value", "unknown-cause",
    ],
)  # fmt: skip
def test_an_editor_sees_the_same_faults(name):
    def merged(base, over):
        if not isinstance(base, dict) or not isinstance(over, dict):
            return over
        return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}

    site = yaml.safe_load((INVALID / "site.yaml").read_text())
    assert not validator.is_valid(merged(site, yaml.safe_load((INVALID / f"{name}.yaml").read_text())))
    assert validator.is_valid(merged(site, yaml.safe_load((INVALID / f"{name}.fixed.yaml").read_text())))


def test_every_key_is_described_and_defaults_are_in_the_words_of_the_file():
    nouns = schema()["$defs"]
    for noun in [schema(), *nouns.values()]:
        for key, value in noun.get("properties", {}).items():
            named = nouns.get(value.get("$ref", "").rpartition("/")[2], {})
            assert value.get("description") or named.get("description"), f"{noun['title']}.{key}"
            assert value.get("default", "") is not None
    assert schema()["$defs"]["Rollout"]["properties"]["soak"]["default"] == "30m"
    assert json.loads(schema_text()) == schema()
