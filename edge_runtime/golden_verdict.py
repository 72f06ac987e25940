"""Whether what a model gave for the golden examples is what it should give: the numbers, and the labels.

`golden` asks the model and calls this; what is found wrong is the code and the reason that a report carries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edge_runtime.engine.base import Array
from edge_runtime.golden_examples import Examples


class RefusedError(Exception):
    """A finding: this version does not pass."""

    def __init__(self, code: str, reason: str) -> None:
        """Say why, in a stable word and a sentence."""
        super().__init__(reason)
        self.code = code


def difference(
    name: str, given: Sequence[Array], examples: Examples, tolerance: tuple[float, float]
) -> float:
    """Compare what came out of each example with what should have; give the largest absolute difference.

    Args:
        name: the output.
        given: one array an example.
        examples: what should come out.
        tolerance: absolute and relative, which add up.

    Raises:
        RefusedError: they differ by more, or cannot be compared.
    """
    absolute, relative = tolerance
    worst, wrong, values, first = 0.0, 0, 0, -1
    for number, got in enumerate(given):
        expected = examples.expected(name, number)
        if got.shape != expected.shape:
            said = f"output {name!r} of example {number} has shape {got.shape}, not {expected.shape}"
            raise RefusedError("golden-mismatch", said)
        if got.dtype.kind not in "fiub" or expected.dtype.kind not in "fiub":
            raise RefusedError("golden-unusable", f"output {name!r} is not numbers")
        wanted = expected.astype(np.float64)
        apart = np.abs(got.astype(np.float64) - wanted)
        bad = int((~(apart <= absolute + relative * np.abs(wanted))).sum())  # a NaN is bad, too
        worst = max(worst, float(np.max(np.where(np.isnan(apart), np.inf, apart), initial=0.0)))
        first = number if bad and first < 0 else first
        wrong, values = wrong + bad, values + got.size
    if wrong:
        why = f"{wrong} of {values} values of output {name!r} differ, by up to {worst:.3g}"
        raise RefusedError("golden-mismatch", f"{why}; first in example {first}")
    return worst


def accuracy(first: str, given: Mapping[str, Sequence[Array]], labels: Array | None, least: float) -> float:
    """Give the share of labels that the first output hits; -1 when there are none.

    Raises:
        RefusedError: it is below `least`, or labels and output do not fit.
    """
    if labels is None:
        if least > 0:
            raise RefusedError(
                "golden-unusable", "an accuracy is asked for, but the golden file has no labels"
            )
        return -1.0
    if first not in given:
        raise RefusedError("golden-unusable", f"the golden file has labels, but no output {first!r}")
    if labels.shape != (len(given[first]),) or len({each.shape for each in given[first]}) > 1:
        raise RefusedError("golden-unusable", f"labels {labels.shape} do not fit the output {first!r}")
    answers = np.stack(given[first]) if given[first] else np.zeros(0, np.int64)
    if answers.ndim > 1:
        answers = answers.reshape(len(answers), -1).argmax(axis=1)
    elif answers.dtype.kind not in "iu":  # one number an example is a label only when it is whole
        raise RefusedError("golden-unusable", f"labels {labels.shape} do not fit the output {first!r}")
    share = float(np.mean(answers == labels)) if len(labels) else 0.0
    if share < least:
        raise RefusedError(
            "golden-accuracy", f"accuracy {share:.4f} on {len(labels)} examples; {least} is asked for"
        )
    return share
