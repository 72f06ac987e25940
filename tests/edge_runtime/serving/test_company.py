from __future__ import annotations

from edge_runtime.serving.company import ALONE_SECONDS, BESIDE_SECONDS, QUIET_SECONDS, Company


def test_a_model_that_is_asked_alone_may_take_longer_than_one_beside_others():
    company, one, other = Company(), object(), object()
    company.note(one, 100.0)
    assert company.bound(100.0) == BESIDE_SECONDS  # who was asked before is not known
    company.note(one, 100.5)
    assert company.bound(100.0 + QUIET_SECONDS * 1.01) == ALONE_SECONDS
    company.note(other, 102.0)
    assert company.bound(102.0) == BESIDE_SECONDS
    company.note(one, 102.5)
    assert company.bound(103.4) == BESIDE_SECONDS
    assert company.bound(103.6) == ALONE_SECONDS
