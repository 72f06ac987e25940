"""Every code can be looked up, and says what is found, why it bites and what cures it."""

from __future__ import annotations

import pytest

from toolkit.errors import Severity, UsageError
from toolkit.lint.check import RULES
from toolkit.lint.codes import codes, explain
from toolkit.lint.schema_words import WHAT


def test_every_code_is_listed_once_and_in_order():
    listed = [each.code for each in codes()]
    assert listed == sorted(set(listed))
    assert set(listed) == {rule.code for rule in RULES} | set(WHAT)
    assert all(each.what.endswith((".", ")", ".)")) and each.why and each.cure for each in codes())


def test_a_code_is_looked_up_in_either_size():
    assert explain("l401") == explain("L401")
    assert explain("L401").severity is Severity.ERROR
    assert "cpu and memory" in explain("L401").why


def test_a_code_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="no code 'L999'") as caught:
        explain("L999")
    assert "problems.md" in caught.value.hint
