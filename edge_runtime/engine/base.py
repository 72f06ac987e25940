"""What an engine is: named typed inputs in, named typed outputs out. Every engine passes `tests/contracts/engine.py`.

`choose.open_engine` makes one; the golden check and the worker thread of `serving.batcher` call it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from toolkit.errors import EngineError

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

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, where an axis of any length counts as one."""
        lengths = (axis for axis in self.shape if axis is not None)
        return math.prod(lengths) * self.dtype.itemsize

    def accepts_shape(self, shape: Sequence[int]) -> bool:
        """Say whether an array of this shape fits."""
        return len(shape) == len(self.shape) and all(
            want is None or want == got for want, got in zip(self.shape, shape, strict=True)
        )


@dataclass(frozen=True)
class EngineAbout:
    """Which engine runs a model here, and why this one; for the log, `tiers-edge check` and the metrics."""

    engine: Literal["tensorrt", "onnxruntime"]
    version: str
    """Of the library."""
    reason: str = ""
    """Why not the other one, in one of a few fixed words (`choose.Reason`); empty when nobody had a choice."""
    plan: Literal["", "built", "fetched"] = ""
    """Where TensorRT's plan comes from: this machine, or another one of its class; empty of ONNX Runtime."""


class Engine(Protocol):
    """A loaded model. Used by one thread at a time; `close` ends it and a second `close` does nothing."""

    @property
    def any_thread(self) -> bool:
        """Whether each call of `infer` may come from another thread; else all come from the one that warmed it up."""
        ...

    @property
    def about(self) -> EngineAbout:
        """Which engine this is."""
        ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `infer` takes, in the model's order."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `infer` gives, in the model's order."""
        ...

    @property
    def buckets(self) -> tuple[int, ...]:
        """Numbers of rows it is tuned for, rising; other numbers cost as much as the next one of these. Never empty."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Bytes that the loaded model takes, weights and working memory; an estimate, at least 1."""
        ...

    def warm_up(self) -> None:
        """Run each bucket once on zeros, so that the first real request does not pay for allocation.

        Raises:
            EngineError: the model cannot run.
        """
        ...

    def infer(self, inputs: Mapping[str, Array], out: Tensors | None = None) -> Tensors:
        """Run the model once on all its inputs and give all its outputs.

        Args:
            inputs: one array for each input.
            out: where outputs go: for each name an array of exactly the shape and type that comes out, C-contiguous
                and writable. Outputs without one here get memory of their own. What the arrays hold after an error is
                not defined.

        Returns:
            All outputs; those of `out` are the very arrays that were given.

        Raises:
            EngineError: inputs or buffers are not what the model takes, the model fails, or the engine is closed.
        """
        ...

    def close(self) -> None:
        """Give the model's memory back."""
        ...


def rising_buckets(most: int) -> tuple[int, ...]:
    """Give 1, 2, 4, 8, … up to `most` rows, and `most` itself."""
    most = max(most, 1)
    powers = [1 << power for power in range(most.bit_length())]
    return tuple(sorted({*powers, most}))


def has_free_rows(specs: Sequence[TensorSpec]) -> bool:
    """Say whether axis 0 is free in each of these, which is how a model says that its rows are independent."""
    return all(spec.shape and spec.shape[0] is None for spec in specs)


def find_bad_buffer(specs: Sequence[TensorSpec], out: Mapping[str, Array]) -> str:
    """Say what keeps an array of `out` from taking an output, as far as it shows before a run; "" when nothing does."""
    by_name = {spec.name: spec for spec in specs}
    for name, array in out.items():
        spec = by_name.get(name)
        if spec is None:
            return f"no output is named {name[:80]!r}; this model gives {describe(specs)}"
        if array.dtype != spec.dtype or not spec.accepts_shape(array.shape):
            got = TensorSpec(name, array.dtype, array.shape)
            return f"the buffer {got} cannot take the output {spec}"
        if not array.flags.c_contiguous or not array.flags.writeable:
            return f"the buffer of output {name!r} must be C-contiguous and writable"
    return ""


def put(out: Mapping[str, Array], name: str, value: Array) -> Array:
    """Copy a result into its buffer, if it has one, and give where it is now.

    Raises:
        EngineError: the buffer has another shape than what came out.
    """
    place = out.get(name)
    if place is None:
        return value
    if place.shape != value.shape:
        raise EngineError(
            f"the buffer of output {name!r} has shape {place.shape}; what came out has {value.shape}"
        )
    np.copyto(place, value)
    return place


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
