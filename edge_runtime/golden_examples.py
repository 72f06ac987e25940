"""The golden file as questions and answers: what to send for each example, and what should come back.

Between the .npz of an artifact and `golden`, which asks. Without stages before the engine, examples go in several at a
time, as rows; with them each is a request of its own, cut to its length.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge_runtime.engine.base import Array, Tensors, TensorSpec

INPUT, OUTPUT, LENGTH = "input.", "output.", "length."
MOST_ROWS: Final = 16
"""Examples that are given to a model at once, when it takes any number."""


class UnusableError(Exception):
    """The golden file cannot be what it should be for this model; its text says why."""


@dataclass(frozen=True)
class Examples:
    """What a golden file holds; the first axis of each array is the example."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]
    lengths: dict[str, Array]
    """`input.NAME` or `output.NAME` -> how much of each example counts, along its own first axis."""
    labels: Array | None
    count: int

    def single(self, number: int, specs: Sequence[TensorSpec]) -> Tensors:
        """Give one example as a client sends it; `specs` tell which inputs have an axis of rows."""
        ranks = {spec.name: len(spec.shape) for spec in specs}
        sent: Tensors = {}
        for name in self.inputs:
            part = self._part(INPUT, name, number)
            sent[name] = part[None] if ranks.get(name) == part.ndim + 1 else part
        return sent

    def expected(self, name: str, number: int) -> Array:
        """Give what should come out of an example."""
        return self._part(OUTPUT, name, number)

    def _part(self, side: str, name: str, number: int) -> Array:
        part: Array = (self.inputs if side == INPUT else self.outputs)[name][number]
        lengths = self.lengths.get(side + name)
        return part if lengths is None else part[: int(lengths[number])]


def read_examples(file: Path) -> Examples:
    """Read a golden file.

    Raises:
        UnusableError: it is none.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays: dict[str, Array] = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UnusableError(f"{file.name} cannot be read: {error}") from error
    inputs, outputs = _named(INPUT, arrays), _named(OUTPUT, arrays)
    counts = {len(array) if array.ndim else -1 for array in (*inputs.values(), *outputs.values())}
    if len(counts) != 1 or not inputs or not outputs or -1 in counts:
        why = "it needs arrays input.NAME and output.NAME with the same number of examples in each"
        raise UnusableError(f"{file.name}: {why}")
    (count,) = counts
    if not count:
        raise UnusableError(f"{file.name} has no example")
    lengths = _named(LENGTH, arrays)
    for name, array in lengths.items():
        whole = arrays.get(name)
        if whole is None or whole.ndim < 2 or array.shape != (count,) or array.dtype.kind not in "iu":  # noqa: PLR2004
            raise UnusableError(
                f"{file.name}: {LENGTH}{name} needs a whole number for each example of {name}"
            )
        if not 0 <= int(array.min()) <= int(array.max()) <= whole.shape[1]:
            raise UnusableError(f"{file.name}: {LENGTH}{name} goes beyond {name}, which has {whole.shape[1]}")
    return Examples(inputs, outputs, lengths, arrays.get("labels"), count)


def _named(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}


def slices(inputs: Sequence[TensorSpec], count: int) -> Iterator[slice]:
    """Give the examples in portions that a model takes: its own batch size, or a few when that is free.

    Raises:
        UnusableError: they do not fit its batch size.
    """
    fixed = {spec.shape[0] for spec in inputs if spec.shape and spec.shape[0] is not None}
    rows = max(fixed) if fixed else MOST_ROWS
    if rows < 1 or (fixed and count % rows):
        raise UnusableError(f"{count} examples do not fit the model's batch of {rows}")
    for start in range(0, count, rows):
        yield slice(start, min(start + rows, count))
