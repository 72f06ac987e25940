"""The steps into which a request is taken apart are still those that a request takes."""

from __future__ import annotations

import uvloop

from benchmarks.asking.models import SHAPES
from benchmarks.asking.steps import FIRST, MARKED, measure


def test_every_step_is_passed_once_in_its_order_and_no_mark_is_left(tmp_path):
    before = [getattr(owner, name) for owner, name, _ in MARKED]
    steps, whole = uvloop.run(measure(SHAPES["tiny, 4 kB"], tmp_path, 20))
    assert [step.what for step in steps] == [FIRST, *(what for _, _, what in MARKED)]
    assert min(whole, *(step.us for step in steps)) > 0
    assert [getattr(owner, name) for owner, name, _ in MARKED] == before
