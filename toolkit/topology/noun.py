"""The base of every noun of tiers.yaml: frozen, strict about keys, documented by the text under each field.

Stands under tier, pool, model, job and the others; `shape` validates into them, `schema` and `explain` read their docs.
Those are read from the source when somebody wants them: pydantic would read them with every start of the command,
which is a fifth of what `tiers validate` takes.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise

from pydantic import BaseModel, ConfigDict

from toolkit.topology.unit import Unit


class Noun(BaseModel):
    """A part of tiers.yaml. Unknown keys are refused, values cannot be changed after loading."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        defer_build=True,
        allow_inf_nan=False,
        strict=True,
        validate_by_alias=True,
        validate_by_name=False,
    )


@cache
def texts_of(noun: type[Noun]) -> Mapping[str, str]:
    """Give the text under each field of a noun, by the field's name."""
    found: dict[str, str] = {}
    for each in reversed(noun.__mro__):
        if issubclass(each, Noun) and each is not Noun:
            (definition,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
            found |= dict(_texts_in(definition))
    return found


def _texts_in(definition: ast.stmt) -> Iterator[tuple[str, str]]:
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    for one, other in pairwise(body):
        if not (isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)):
            continue
        text = other.value if isinstance(other, ast.Expr) else None
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            yield one.target.id, inspect.cleandoc(text.value)


def as_written(value: object) -> object:
    """Give a value in the words of tiers.yaml: units as text, nouns as mappings of what is set."""
    if isinstance(value, Unit):
        return str(value)
    if isinstance(value, Noun):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, tuple):
        return [as_written(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value
