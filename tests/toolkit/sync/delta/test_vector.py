"""A patch of format 1, as it was written when the format was made, is replayed byte for byte."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from tests.toolkit.sync.delta.versions import head_of, play
from toolkit.wire.delta import Copy, Plain, Planes, Prefix

VECTOR = Path(__file__).parents[2] / "wire" / "vectors" / "patch-1.json"


def test_the_vector_makes_its_target() -> None:
    base, patch, target = (
        base64.b64decode(json.loads(VECTOR.read_bytes())[each]) for each in ("base", "patch", "target")
    )
    (file,) = head_of(patch).files
    assert {type(op) for op in file.ops} == {Copy, Plain, Planes, Prefix}
    assert {(op.width, op.floats) for op in file.ops if isinstance(op, Planes)} >= {
        (2, True),
        (4, True),
        (1, False),
    }
    assert play(patch, base) == target
