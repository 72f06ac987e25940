"""Rules about KubeEdge read objects of any shape: whatever stands where, they find faults or none, and never break."""

from __future__ import annotations

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toolkit.lint.fault_reader import FAULTS
from toolkit.lint.check import RULES, lint
from toolkit.lint.document import from_objects

OURS = tuple(rule for rule in RULES if "L200" < rule.code < "L270")
SEEDS = [fault.bodies for fault in FAULTS if "L211" <= fault.code < "L270"]
NONSENSE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=2)
    ),
    max_leaves=4,
)


def places(value, path=()):
    """Give the path of everything in a value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_fault_with_nonsense_anywhere_is_read_to_its_end(data):
    bodies = copy.deepcopy(data.draw(st.sampled_from(SEEDS)))
    ways = [path for path in places(bodies) if len(path) > 1 and path[1:] not in {("kind",), ("apiVersion",)}]
    *way, last = data.draw(st.sampled_from(ways))
    inner = bodies
    for part in way:
        inner = inner[part]
    inner[last] = data.draw(NONSENSE)
    if isinstance(inner, dict) and data.draw(st.booleans()):
        inner[7] = data.draw(NONSENSE)
    found = lint(from_objects(bodies), rules=OURS)
    assert {each.code for each in found} <= {rule.code for rule in OURS}
