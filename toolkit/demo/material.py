"""Where the demo's real input comes from: the hospital's tiers.yaml, the carried models and images, DICOM files.

The carried files lie in `examples/` of a source checkout, or below share/tiers of an environment into which the wheel
was installed. The DICOM files ship inside pydicom's wheel (its data folder is read; its getter would try the network).
"""

from __future__ import annotations

import random
import shutil
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import toolkit
from toolkit.errors import MissingExtraError, TiersError

_GENERATED_FILES = 400
_SEED = 20_261_121
_DAMAGED_BYTES = 2_000


@dataclass(frozen=True)
class Material:
    """Paths of the input."""

    topology: Path
    v1: Path
    v2: Path
    golden_v1: Path
    golden_v2: Path
    held_out: Path


def find_material() -> Material:
    """Find the carried input.

    Raises:
        TiersError: neither a checkout nor an installed wheel has it.
    """
    checkout = Path(toolkit.__file__).parent.parent
    installed = Path(sysconfig.get_path("data")) / "share" / "tiers"
    for root in (checkout, installed):
        digits = root / "examples" / "models" / "digits"
        if (root / "tiers.yaml").is_file() and (digits / "v1.onnx").is_file():
            return Material(
                root / "tiers.yaml",
                digits / "v1.onnx",
                digits / "v2.onnx",
                digits / "v1.golden.npz",
                digits / "v2.golden.npz",
                digits / "heldout.npz",
            )
    raise TiersError(
        f"the demo's models are neither in {checkout} nor in {installed}",
        hint="run it from a checkout: make demo",
    )


def dicom_folder() -> Path:
    """Give pydicom's data folder: 188 DICOM files of CT, MR, ultrasound and more, and a few others.

    Raises:
        MissingExtraError: pydicom is not installed.
    """
    found = find_spec("pydicom")
    if found is None or found.origin is None:
        raise MissingExtraError("the demo's DICOM files", extra="demo")
    return Path(found.origin).parent / "data"


def lay_out_frames(folder: Path) -> int:
    """Fill a folder with what an edge device collects: the DICOM files and a generated tree; return the file count."""
    shutil.copytree(dicom_folder(), folder / "dicom", ignore=shutil.ignore_patterns("*.py*", "__pycache__"))
    dice = random.Random(_SEED)  # noqa: S311 -- test data, the same each time
    for number in range(_GENERATED_FILES):
        path = folder / "generated" / f"day-{number % 7}" / f"frame-{number:04}.raw"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dice.randbytes(dice.randrange(4_096, 65_536)))
    return sum(1 for path in folder.rglob("*") if path.is_file())


def edit_a_few(folder: Path) -> int:
    """Change one byte in each of three generated files, as a day's work would; return how many were changed."""
    changed = sorted((folder / "generated").rglob("*.raw"))[::150][:3]
    for path in changed:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(bytes(data))
    return len(changed)


def damage(before: Path, after: Path, damaged: Path) -> None:
    """Write a copy of `after` with weights of zero where it first differs from `before`: it loads, and answers wrongly.

    What changed between the two carried models is the head, so this is a head that has lost most of its weights.
    """
    old, new = before.read_bytes(), bytearray(after.read_bytes())
    begin = next(place for place, (was, now) in enumerate(zip(old, new, strict=False)) if was != now)
    end = min(begin + _DAMAGED_BYTES, len(new))
    new[begin:end] = bytes(end - begin)
    damaged.write_bytes(bytes(new))
