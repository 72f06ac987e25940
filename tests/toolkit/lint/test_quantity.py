"""Quantities in every form that Kubernetes reads."""

from __future__ import annotations

from decimal import Decimal

import pytest

from toolkit.lint.quantity import parse_quantity


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("500m", "0.5"),
        ("1Gi", 2**30),
        (8, 8),
        ("1e3", 1000),
        ("1.5", "1.5"),
        ("2k", 2000),
        ("100n", "1e-7"),
        (".5", "0.5"),
    ],
)
def test_numbers_with_suffixes(written, number):
    assert parse_quantity(written) == Decimal(number)


@pytest.mark.parametrize("written", ["", "1GiB", "one", None, True, 1.5, "1 Gi", "1e9999"])
def test_what_is_no_quantity(written):
    assert parse_quantity(written) is None
