"""The base of every noun of tiers.yaml: frozen, strict about keys, documented by the text under each field.

Stands under tier, pool, model, job and the others; `shape` validates into them, `schema` and `explain` read their docs.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from toolkit.topology.unit import Unit


class Noun(BaseModel):
    """A part of tiers.yaml. Unknown keys are refused, values cannot be changed after loading."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        defer_build=True,
        allow_inf_nan=False,
        strict=True,
        validate_by_alias=True,
        validate_by_name=False,
    )


def as_written(value: object) -> object:
    """Give a value in the words of tiers.yaml: units as text, nouns as mappings of what is set."""
    if isinstance(value, Unit):
        return str(value)
    if isinstance(value, Noun):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, tuple):
        return [as_written(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value
