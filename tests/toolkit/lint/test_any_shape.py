"""Whatever stands in place of a value, lint answers: each value of each faulty file is put in turn by nonsense.

Anybody's files come in any shape, and a rule that raises would hide what all other rules have to say.
"""

from __future__ import annotations

import copy
from datetime import date
from itertools import cycle, islice

import pytest

from tests.toolkit.lint.fault_reader import FAULTS
from toolkit.errors import TiersError
from toolkit.lint.check import lint
from toolkit.lint.document import from_objects, from_text

NONSENSE = (None, "x", "", 3, -1, 2.5, True, [], {}, [None], [[]], [3], {"a": None}, {"name": []}, [{}],
            {"kind": {"name": 3}}, date(2026, 1, 1))  # fmt: skip


def places(value, path=()):
    """Give every place in a document, its own top left out."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*path, key)
        yield from places(below, (*path, key))


def test_keys_that_yaml_reads_as_something_else_are_texts():
    (document,) = from_text(
        "kind: ConfigMap\ndata: {3: a, yes: b, ~: c, 2026-01-01: d, e: [{1.5: f}]}", "c.yaml"
    )
    assert document.body["data"] == {
        "3": "a",
        "true": "b",
        "null": "c",
        "2026-01-01": "d",
        "e": [{"1.5": "f"}],
    }
    lint([document])


def test_a_document_that_holds_itself_is_refused():
    with pytest.raises(TiersError, match=r"loop\.yaml is not YAML"):
        from_text("kind: &a [*a]\n", "loop.yaml")


def put(bodies, path, value):
    changed = copy.deepcopy(bodies)
    target = changed
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    return changed


def answered(start, every):
    """Lint each faulty file once for every n-th of its places, with the next nonsense there."""
    nonsense = islice(cycle(NONSENSE), start, None)
    for fault in FAULTS:
        for path in islice(places(fault.bodies), start % every, None, every):
            if len(path) > 1:
                changed = put(fault.bodies, path, next(nonsense))
                try:
                    lint((*from_objects(changed), *fault.around))
                except Exception as exc:
                    raise AssertionError(f"{fault.name} {path}: {exc!r}") from exc
    return True


def test_nonsense_in_some_places_breaks_no_rule():
    assert answered(start=0, every=8)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, len(NONSENSE), 5))
def test_nonsense_in_any_place_breaks_no_rule(start):
    assert answered(start, every=1)
