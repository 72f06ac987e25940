"""Values out of live objects, whose fields may be missing or of another type. Under `room`, `waiting` and `reason`."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from toolkit.lint.quantity import parse_quantity

Amounts = dict[str, Decimal]
"""Name of a resource → how much of it, in its own unit: GPUs, cores, bytes."""


def at(body: object, *path: str) -> object:
    """Give what stands at a path of keys; None when it does not go that far."""
    for name in path:
        body = body.get(name) if isinstance(body, Mapping) else None
    return body


def mapping(body: object, *path: str) -> Mapping[str, object]:
    """Give the mapping at a path; an empty one when there is none."""
    found = at(body, *path)
    return found if isinstance(found, Mapping) else {}


def mappings(body: object, *path: str) -> list[Mapping[str, object]]:
    """Give the mappings of the list at a path."""
    found = at(body, *path)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list | tuple) else []


def text(body: object, *path: str) -> str:
    """Give the text at a path; empty when there is nothing."""
    found = at(body, *path)
    return "" if found is None else str(found)


def number(body: object, *path: str) -> int:
    """Give the whole number at a path; 0 when there is none."""
    found = at(body, *path)
    return found if isinstance(found, int) else 0


def amounts(body: object, *path: str) -> Amounts:
    """Give the quantities of the mapping at a path; what is no quantity is left out."""
    found = {str(name): parse_quantity(value) for name, value in mapping(body, *path).items()}
    return {name: amount for name, amount in found.items() if amount is not None}


def label(body: object, name: str) -> str:
    """Give a label of an object; empty when it has none of this name."""
    return text(body, "metadata", "labels", name)


def name_of(body: object) -> str:
    """Give metadata.name."""
    return text(body, "metadata", "name")


def namespace_of(body: object) -> str:
    """Give metadata.namespace."""
    return text(body, "metadata", "namespace")
