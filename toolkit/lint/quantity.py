"""Kubernetes quantities and counts as numbers, so that two of them can be compared. Used by most rules.

The format is that of k8s.io/apimachinery/pkg/api/resource: a decimal number with a binary suffix (Ki, Mi, …), a decimal
suffix (n, u, m, k, M, …) or an exponent (1e3).
"""

from __future__ import annotations

import re
from decimal import Decimal

_BINARY = {
    suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)
}
_DECIMAL = {suffix: Decimal(1000) ** power for power, suffix in enumerate(("", "k", "M", "G", "T", "P", "E"))}
_SMALL = {"m": Decimal("1e-3"), "u": Decimal("1e-6"), "n": Decimal("1e-9")}
_SUFFIXES = {**_BINARY, **_DECIMAL, **_SMALL}
_SHAPE = re.compile(r"^([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)([KMGTPE]i|[numkMGTPE]?)$")


def parse_quantity(value: object) -> Decimal | None:
    """Turn "500m", "1Gi", 8 or "1e3" into a number; None when it is no quantity."""
    found = _SHAPE.match(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if found is None:
        return None
    number, suffix = found.groups()
    return Decimal(number) * _SUFFIXES[suffix]


def whole(value: object, default: int) -> int:
    """Take `value` as a whole number, or `default` when it is none; YAML's true is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else default
