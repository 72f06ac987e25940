from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_runtime.engine.agree import find_disagreement, made_up, relative_error
from edge_runtime.engine.base import TensorSpec
from edge_runtime.engine.onnx_signature import Signature
from tests.contracts.engine import INPUTS, OUTPUTS, HeldEngine

PLAIN = Signature(INPUTS, OUTPUTS, half=False, quantized=False)


class Off(HeldEngine):
    """Gives its first output with an error."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def infer(self, inputs, out=None):
        found = super().infer(inputs, out)
        return {**found, "y": self.change(found["y"])}


CHANGES = {
    "same": (lambda y: y, ""),
    "rounding": (lambda y: y * np.float32(1.0001), ""),
    "scaled": (lambda y: y * np.float32(1.02), "output 'y' is off by 0.02"),
    "a missing bias": (lambda y: y - np.float32(0.5), "output 'y' is off by"),
    "not a number": (lambda y: y * np.float32("nan"), "output 'y' is off by inf"),
    "other shape": (lambda y: y[:, :2], "output 'y' has shape (2, 2), not (2, 4)"),
}


@pytest.mark.parametrize("case", list(CHANGES))
def test_what_is_far_off_is_found_and_rounding_is_not(case):
    change, message = CHANGES[case]
    found = find_disagreement(Off(change), HeldEngine(), PLAIN)
    assert found.startswith(message)
    assert bool(found) == bool(message)


@pytest.mark.parametrize("kind", ["half", "quantized"])
def test_formats_that_round_more_may_differ_more(kind):
    signature = replace(PLAIN, **{kind: True})
    assert find_disagreement(Off(lambda y: y * np.float32(1.02)), HeldEngine(), signature) == ""
    assert find_disagreement(Off(lambda y: y * np.float32(1.2)), HeldEngine(), signature)


def test_inputs_are_the_same_every_time_and_of_the_right_types():
    specs = (
        *INPUTS,
        TensorSpec("h", np.dtype(np.float16), (None, 2)),
        TensorSpec("b", np.dtype(np.bool_), (3,)),
    )
    one, two = made_up(specs), made_up(specs)
    for spec in specs:
        assert spec.accepts_shape(one[spec.name].shape)
        assert one[spec.name].dtype == spec.dtype
        np.testing.assert_array_equal(one[spec.name], two[spec.name])
    assert 0 < float(one["x"].min()) < float(one["x"].max()) < 1


def test_infinities_of_both_are_no_difference():
    both = np.array([np.inf, 1.0])
    assert relative_error(both, both) == 0
    assert relative_error(np.array([1.0, 1.0]), both) == float("inf")
