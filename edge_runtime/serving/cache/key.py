"""When two questions are the same: the key of an answer that is kept.

`answers` makes it of every question before it looks anywhere. It covers all that can change the answer: the bytes of
the model (its artifact's digest, never its version's name), its stages, every input with name, type, shape and bytes,
the outputs that are wanted and the parameters. A parameter that nobody here knows counts too, which costs a hit and
never a wrong answer; left out are those that only say how and how fast to answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from blake3 import blake3

from edge_runtime.serving.ask import Ask
from edge_runtime.serving.refusals import BadRequestError

BESIDE: Final = frozenset({"priority", "timeout", "binary_data_output", "cache"})
"""Parameters that change no number of an answer."""
LABEL: Final = "cache_id"
"""Parameter by which answers are named when they shall be forgotten. It is part of the key: what is kept under one
name is never given to a question with another."""
LONGEST_LABEL: Final = 128
Key = bytes
"""BLAKE3-256 of a question."""
_encoder: Final = msgspec.msgpack.Encoder()


@dataclass(frozen=True)
class Source:
    """Who would compute the answer."""

    artifact: str
    """Id of what the engine was loaded from."""
    stages: str = ""
    """What is done before and after the engine, and by which version of it."""


KeyOf = Callable[[Source, Ask], Key]


def question_key(source: Source, ask: Ask) -> Key:
    """Give the key of a question.

    A header of MessagePack, which ends where it says, and behind it the bytes of each input, whose lengths follow from
    the types and shapes in the header: two different questions never give the same bytes to hash.
    """
    names = sorted(ask.inputs)
    arrays = [ask.inputs[name] for name in names]
    head = (
        source.artifact,
        source.stages,
        [(name, array.dtype.str, array.shape) for name, array in zip(names, arrays, strict=True)],
        sorted(ask.wanted),
        sorted((name, repr(value)) for name, value in ask.parameters.items() if name not in BESIDE),
    )
    hasher = blake3(_encoder.encode(head))
    for array in arrays:
        if array.dtype.hasobject:
            hasher.update(_encoder.encode(array.ravel().tolist()))
        elif array.nbytes:
            hasher.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return hasher.digest()


def label_of(ask: Ask) -> str:
    """Read the name under which an answer shall be forgotten; empty for none.

    Raises:
        BadRequestError: it is no short text.
    """
    label = ask.parameters.get(LABEL, "")
    if not isinstance(label, str) or len(label) > LONGEST_LABEL:
        raise BadRequestError(f"parameter {LABEL} must be a text of at most {LONGEST_LABEL} characters")
    return label
