"""An error of the validator → a finding in our words: which field, what is wrong, what was perhaps meant.

Last step of `schema`. The validator names the part of the schema that failed; its neighbours are the suggestions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Protocol

from toolkit.lint.document import ValuePath, mapping, sequence
from toolkit.lint.rule import Finding
from toolkit.lint.schema_values import QUANTITY, WORDS, Schema

UNKNOWN_KIND, UNKNOWN_FIELD, TYPE, MISSING, WORD, SHAPE, AMOUNT, TWICE = (
    "L001", "L002", "L003", "L004", "L005", "L006", "L007", "L008",
)  # fmt: skip
WHAT: Mapping[str, str] = {
    UNKNOWN_KIND: "A kind or its version does not exist.",
    UNKNOWN_FIELD: "A field does not exist.",
    TYPE: "A value has another type than its field.",
    MISSING: "A field is missing that has to be there.",
    WORD: "A value is none of the words that its field takes.",
    SHAPE: "A value is out of its limits, or not of the form that it has to have.",
    AMOUNT: "An amount is no quantity.",
    TWICE: "An entry of a set stands there twice.",
}
"""Code → what it is; these come from the schemas of Kubernetes and of CRDs."""
CURES: Mapping[str, str] = {
    UNKNOWN_KIND: "correct apiVersion and kind; tiers schema pull brings the kinds of a cluster",
    UNKNOWN_FIELD: "correct the name or remove the field; kubectl explain lists what there is",
    TYPE: "write a value of that type; quotes make a string of a number",
    MISSING: "add the field",
    WORD: "take one of the words that are allowed",
    SHAPE: "write a value within these limits",
    AMOUNT: "write a number with one of m, k, M, G, T, Ki, Mi, Gi, Ti",
    TWICE: "remove or rename one of the two",
}
"""Code → cure of each finding about schemas."""
WHY = "the API server refuses the object"
_LONGEST = 80
_OF_QUANTITIES = "KMGTPE"
"""Stands in every pattern of a quantity, ours and those of CRDs."""
_LIMITS = {
    "minimum": "less than", "maximum": "more than", "exclusiveMinimum": "not more than",
    "exclusiveMaximum": "not less than",
}  # fmt: skip


class Error(Protocol):
    """What is used of the validator's errors."""

    @property
    def message(self) -> str:
        """The validator's own words."""

    @property
    def instance_path(self) -> Sequence[str | int]:
        """Where in the object."""

    @property
    def schema_path(self) -> Sequence[str | int]:
        """Which keyword of the schema."""


def describe(root: Schema, body: object, error: Error) -> Iterator[tuple[str, Finding]]:
    """Give code and finding of an error; one that names several unknown fields gives several.

    Args:
        root: the whole schema.
        body: the object.
        error: what the validator says about the two.
    """
    path: ValuePath = tuple(error.instance_path)
    keyword, node = _failed(root, error.schema_path)
    failed = _Failed(path, _value(body, path), keyword, node, error.message)
    if "propertyNames" in error.schema_path:
        yield from _names(failed)
    elif keyword in _LIMITS:
        said = f"{_last(path)} is {_shown(failed.value)}, {_LIMITS[keyword]} {node.get(keyword)}"
        yield SHAPE, Finding(path, said)
    else:
        yield from _WRITERS.get(keyword, _else)(failed)


@dataclass(frozen=True)
class _Failed:
    """A value and the keyword of its schema that it does not fit."""

    path: ValuePath
    value: object
    keyword: str
    node: Mapping[str, object]
    message: str

    @property
    def wanted(self) -> object:
        return self.node.get(self.keyword)


_Findings = Iterator[tuple[str, Finding]]


def _names(failed: _Failed) -> _Findings:
    for name in mapping(failed.value):
        if failed.keyword == "pattern" and not re.search(str(failed.wanted), name):
            yield SHAPE, Finding((*failed.path, name), f"{_shown(name)} is not {failed.node.get(WORDS)}")


def _unknown(failed: _Failed) -> _Findings:
    known = mapping(failed.node.get("properties"))
    for name in mapping(failed.value):
        if name not in known:
            yield UNKNOWN_FIELD, Finding((*failed.path, name), f"no field {name!r}{perhaps(name, known)}")


def _missing(failed: _Failed) -> _Findings:
    missing = [str(name) for name in sequence(failed.wanted) if name not in mapping(failed.value)]
    # One error stands for one field, and each gives the same node; the message tells which field it is.
    named = [name for name in missing if f'"{name}" is a required' in failed.message] or missing
    where = f"in {_last(failed.path)} " if failed.path else ""
    yield MISSING, Finding(failed.path, f"{where}{' and '.join(named)} is missing")


def _type(failed: _Failed) -> _Findings:
    types = " or ".join(str(each) for each in sequence(failed.wanted) or [failed.wanted] if each != "null")
    said = f"{_last(failed.path)} is {_shown(failed.value)}, not of type {types}"
    yield TYPE, Finding(failed.path, said)


def _word(failed: _Failed) -> _Findings:
    words = [str(each) for each in sequence(failed.wanted) if each not in {"", None}]
    value = failed.value
    said = (
        f"{_last(failed.path)} is {_shown(value)}, not one of {', '.join(words)}{perhaps(str(value), words)}"
    )
    yield WORD, Finding(failed.path, said)


def _pattern(failed: _Failed) -> _Findings:
    amount = _OF_QUANTITIES in str(failed.wanted)
    words = str(QUANTITY[WORDS]) if amount else failed.node.get(WORDS) or f"of the shape {failed.wanted}"
    yield AMOUNT if amount else SHAPE, Finding(failed.path, f"{_shown(failed.value)} is not {words}")


def _else(failed: _Failed) -> _Findings:
    yield SHAPE, Finding(failed.path, f"{_last(failed.path)}: {_cut(failed.message)}")


_WRITERS = {
    "additionalProperties": _unknown, "required": _missing, "type": _type, "enum": _word, "pattern": _pattern,
}  # fmt: skip
"""Keyword → what writes its findings."""


def perhaps(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    """Say what was perhaps meant."""
    lower = {each.lower(): each for each in known}
    found = get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return f"; did you mean {lower[found[0]]!r}?" if found else ""


def _value(body: object, path: ValuePath) -> object:
    for part in path:
        body = sequence(body)[part] if isinstance(part, int) else mapping(body).get(part)
    return body


def _failed(root: Schema, path: Sequence[str | int]) -> tuple[str, Mapping[str, object]]:
    """Find the keyword that failed and the schema that it stands in; `$ref` leads to a definition."""
    node: object = root
    keyword, inside = "", mapping(node)
    for part in path:
        inside, keyword = mapping(node), str(part)
        if keyword == "$ref":
            node = mapping(root.get("$defs")).get(str(inside.get("$ref")).rpartition("/")[2])
        else:
            node = sequence(node)[part] if isinstance(part, int) else inside.get(keyword)
    return keyword, inside


def _last(path: ValuePath) -> str:
    names = [str(part) for part in path if isinstance(part, str)]
    return names[-1] if names else "the object"


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return "null" if value is None else _cut(repr(value))


def _cut(words: str) -> str:
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"
