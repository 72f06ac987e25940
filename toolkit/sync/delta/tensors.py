"""Where the numbers of a file lie, and which of them stand in another version's file too.

`registry.tensor_maps` reads the maps out of ONNX and safetensors files; `encode` takes the pairs. A device needs
neither: a patch says by itself where its numbers go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Tensor:
    """Numbers in a file, little-endian and without gaps."""

    name: str
    kind: str
    """Type of the numbers, in the words of the file's format."""
    shape: tuple[int, ...]
    offset: int
    length: int
    """Bytes."""
    width: int
    """Bytes of a number: 1, 2, 4 or 8."""
    floats: bool


@dataclass(frozen=True)
class Pair:
    """The same tensor in two files: `length` bytes at `base` in one and at `target` in the other."""

    base: int
    target: int
    length: int
    width: int
    floats: bool


def pair_tensors(base: Iterable[Tensor], target: Iterable[Tensor]) -> list[Pair]:
    """Match tensors of equal name, type and shape, in the order of the target's file; none overlaps another there."""
    before: dict[str, Tensor] = {}
    for tensor in base:
        before.setdefault(tensor.name, tensor)
    pairs: list[Pair] = []
    end = 0
    for tensor in sorted(target, key=lambda each: each.offset):
        old = before.get(tensor.name)
        alike = old is not None and (old.kind, old.shape, old.length) == (
            tensor.kind,
            tensor.shape,
            tensor.length,
        )
        if (
            old is None
            or not alike
            or tensor.offset < end
            or tensor.length % tensor.width
            or not tensor.length
        ):
            continue
        pairs.append(Pair(old.offset, tensor.offset, tensor.length, tensor.width, tensor.floats))
        end = tensor.offset + tensor.length
    return pairs
