"""Two versions of a model and the patch between them, as a registry would hold them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import numpy_helper

from tests.edge_runtime.conftest import Keys, Made, golden_file, linear_model
from toolkit.sync.delta.encode import Change, encode_patch
from toolkit.sync.delta.tensors import Tensor, pair_tensors
from toolkit.wire.manifest import Makes, Manifest, Patch

COUNT = 400_000


def weights(step: int, count: int = COUNT) -> bytes:
    """Give numbers that are all a little other at each step, as the weights of a model that was trained on."""
    numbers = np.random.default_rng(1).standard_normal(count, dtype=np.float32) * np.float32(0.05)
    for each in range(step):
        drift = np.random.default_rng(each + 2).standard_normal(count, dtype=np.float32)
        numbers += drift * np.float32(0.05e-3)
    return numbers.astype(np.float16).tobytes()


def files_of(step: int, count: int = COUNT) -> dict[str, bytes]:
    """Give the files of a version of the linear model whose ballast drifts."""
    return {
        "model.onnx": linear_model(float(step), ballast=weights(step, count)),
        "golden.npz": golden_file(float(step)),
    }


@dataclass(frozen=True)
class Patched:
    """Base and target, and the patch from one to the other."""

    base: Made
    target: Made
    patch: Made
    files: dict[str, bytes]
    """Of the target."""


def make_patched(keys: Keys, *, first: int = 1, count: int = COUNT) -> Patched:
    """Make version `first`, the next one, and the patch between them."""
    before, after = files_of(first, count), files_of(first + 1, count)
    base, plain = keys.make(f"v{first}", before), keys.make(f"v{first + 1}", after)
    makes = Makes(base=base.artifact, index=plain.manifest.index)

    def as_patch(manifest: Manifest) -> Manifest:
        return msgspec.structs.replace(
            manifest, kind="patch", model_file="", golden=None, makes=makes, format=0
        )

    patch = keys.make(f"v{first + 1}", {"patch": _encoded(before, after)}, change=as_patch)
    size = sum(map(len, patch.stored.values())) + len(patch.index)
    named = Patch(base=base.artifact, artifact=patch.artifact, download_bytes=size)
    target = keys.make(
        f"v{first + 1}", after, change=lambda m: msgspec.structs.replace(m, patches=(named,), format=0)
    )
    return Patched(base, target, patch, after)


def _encoded(before: dict[str, bytes], after: dict[str, bytes]) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        folder, changes = Path(name), []
        for path, data in after.items():
            (folder / f"{path}.old").write_bytes(before[path])
            (folder / f"{path}.new").write_bytes(data)
            is_model = path == "model.onnx"
            pairs = pair_tensors(_ballast(before[path]), _ballast(data)) if is_model else []
            change = Change(
                path.encode(), folder / f"{path}.new", path.encode(), folder / f"{path}.old", pairs
            )
            changes.append(change)
        encode_patch(changes, folder / "patch")
        return (folder / "patch").read_bytes()


def _ballast(model: bytes) -> list[Tensor]:
    """Find the ballast of a model: by far its largest constant, whose bytes begin after its own length."""
    data = numpy_helper.to_array(onnx.load_from_string(model).graph.initializer[1]).tobytes()
    return [Tensor("ballast", "f2", (len(data) // 2,), model.index(data), len(data), 2, floats=True)]
