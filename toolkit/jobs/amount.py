"""Amounts of machines in words for people: `8 GPUs`, `3 cores`, `900Gi`. For the sentences of `waiting` and `plan`."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from toolkit.jobs.values import Amounts
from toolkit.placement import GPU
from toolkit.render.quantities import memory_quantity

_NAMES = {GPU: "GPU", "cpu": "core", "pods": "pod"}


def in_words(name: str, amount: Decimal) -> str:
    """Write an amount of one resource."""
    if name == "memory":
        return memory_quantity(int(amount))
    shown = f"{amount.normalize():f}"
    what = _NAMES.get(name)
    if what is None:
        return f"{shown} {name}"
    return f"{shown} {what}" if amount == 1 else f"{shown} {what}s"


def list_in_words(amounts: Amounts, names: Iterable[str] | None = None) -> str:
    """Write several amounts, GPUs first; only those of `names` when given."""
    chosen = [name for name in amounts if amounts[name] and (names is None or name in set(names))]
    chosen.sort(key=lambda name: (name != GPU, name == "pods", name))
    return ", ".join(in_words(name, amounts[name]) for name in chosen)


def count(number: int, noun: str) -> str:
    """Write a number of things."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
