"""The error tree is told three times (classes, docstring, page); the three agree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from toolkit import errors

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/errors.md"


def family(error: type[errors.TiersError]) -> Iterator[type[errors.TiersError]]:
    yield error
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from family(child)


CLASSES = {each.__name__: each for each in family(errors.TiersError)}


def test_the_docstring_draws_every_class_with_its_code():
    drawn = re.findall(r"(\w+Error)\s+exit (\d+)\s+(.*)", errors.__doc__ or "")
    assert {name: int(code) for name, code, _ in drawn} == {
        name: each.exit_code for name, each in CLASSES.items()
    }
    assert {name for name, _, text in drawn if "(retryable)" in text} == {
        name for name, each in CLASSES.items() if each.retryable
    }


def test_the_page_has_a_row_for_every_class():
    rows = re.findall(r"^\| (\d+) \| (?:&nbsp;)*`(\w+)` \| (yes)? *\|", PAGE.read_text(), re.MULTILINE)
    told = {name: (int(code), again == "yes") for code, name, again in rows}
    assert told == {name: (each.exit_code, each.retryable) for name, each in CLASSES.items()}


def test_the_codes_of_the_shell_are_left_alone():
    codes = {each.exit_code for each in CLASSES.values()}
    assert codes == set(range(1, 9))
    assert 0 not in codes
    assert errors.INTERRUPTED_EXIT_CODE == 130
