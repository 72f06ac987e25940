"""What an engine is: named typed inputs in, named typed outputs out. Every engine passes `tests/contracts/engine.py`.

`choose.open_engine` makes one; the golden check and the worker thread of `serving.batcher` call it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.generic]
Tensors: TypeAlias = dict[str, Array]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int | None, ...]
    """One entry per axis; None where the model takes any length."""

    def __str__(self) -> str:
        """Write it for people: `image float32[?, 1, 8, 8]`."""
        axes = ", ".join("?" if axis is None else str(axis) for axis in self.shape)
        return f"{self.name} {self.dtype.name}[{axes}]"

    def accepts_shape(self, shape: Sequence[int]) -> bool:
        """Say whether an array of this shape fits."""
        return len(shape) == len(self.shape) and all(
            want is None or want == got for want, got in zip(self.shape, shape, strict=True)
        )


class Engine(Protocol):
    """A loaded model. Used by one thread at a time; `close` ends it and a second `close` does nothing."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `infer` takes, in the model's order."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `infer` gives, in the model's order."""
        ...

    def warm_up(self) -> None:
        """Run once on zeros, so that the first real request does not pay for allocation.

        Raises:
            EngineError: the model cannot run.
        """
        ...

    def infer(self, inputs: Mapping[str, Array]) -> Tensors:
        """Run the model once on all its inputs and give all its outputs.

        Raises:
            EngineError: the inputs are not what the model takes, the model fails, or the engine is closed.
        """
        ...

    def close(self) -> None:
        """Give the model's memory back."""
        ...


def find_mismatch(specs: Sequence[TensorSpec], inputs: Mapping[str, Array]) -> str:
    """Say what keeps `inputs` from being what `specs` asks for, with what was expected; "" when they fit."""
    by_name = {spec.name: spec for spec in specs}
    for name, array in inputs.items():
        spec = by_name.pop(name, None)
        if spec is None:
            return f"no input is named {name[:80]!r}; this model takes {describe(specs)}"
        if array.dtype != spec.dtype or not spec.accepts_shape(array.shape):
            got = TensorSpec(name, array.dtype, array.shape)
            return f"input {got} does not fit; expected {spec}"
    if by_name:
        return f"input {next(iter(by_name))!r} is missing; this model takes {describe(specs)}"
    return ""


def describe(specs: Sequence[TensorSpec]) -> str:
    """List tensors for people."""
    return ", ".join(str(spec) for spec in specs)
