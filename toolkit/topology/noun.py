"""The base of every noun of tiers.yaml: frozen, strict about keys, documented by the text under each field.

Stands under tier, pool, model, job and the others; `shape` validates into them, `schema` and `explain` read their docs.
"""

from pydantic import BaseModel, ConfigDict


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
