"""Each file of faults/ is told for the one thing that is wrong with it, and its smallest repair silences lint."""

from __future__ import annotations

import json

import pytest

from tests.toolkit.lint.fault_reader import FAULTS
from toolkit.lint.check import lint


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_told_where_it_stands(fault):
    found = lint(fault.faulty)
    assert {each.code for each in found} == {fault.code} | fault.beside
    mine = [each for each in found if each.code == fault.code]
    assert fault.name.startswith(fault.code)
    head = len(fault.text.split("apiVersion")[0].splitlines())
    assert all(each.place.where == str(fault.path) and each.place.line > head for each in mine)
    assert any(fault.head("says") in each.message for each in mine)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_its_smallest_repair_is_silent(fault):
    assert lint(fault.repaired) == ()
    assert len(json.loads(fault.head("repair"))) == 1, "a repair is one change"
