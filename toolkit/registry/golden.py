"""Look at a file of golden examples before it is signed: its names, and that unpacking it cannot hurt a device.

A golden file is a NumPy .npz, that is a zip of .npy files named `input.NAME`, `output.NAME`, maybe `labels`, and with
stages maybe `length.input.NAME` (see docs/formats.md). Only names and sizes are read here, and types and shapes in
`golden_forms`; the numbers are the device's business. Used by `push`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import IntegrityError, RegistryError

MAX_MEMBERS = 256
MAX_UNPACKED_BYTES = 512 * 1024 * 1024
_HINT = "write it with numpy.savez_compressed(file, **{'input.NAME': …, 'output.NAME': …, 'labels': …})"


@dataclass(frozen=True)
class GoldenNames:
    """Names of the arrays in a golden file, without their prefixes."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    labels: bool
    lengths: tuple[str, ...] = ()
    """Names with their prefixes, such as input.image."""


def read_golden_names(file: Path) -> GoldenNames:
    """Read the names in a golden file.

    Raises:
        RegistryError: the file cannot be read.
        IntegrityError: it is not a .npz, has other names, or unpacks to more than MAX_UNPACKED_BYTES.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except OSError as error:
        raise RegistryError(f"{file} cannot be read: {error.strerror}") from error
    except (zipfile.BadZipFile, ValueError) as error:
        raise IntegrityError(f"{file} is not a .npz file: {error}", hint=_HINT) from error
    unpacked = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS or unpacked > MAX_UNPACKED_BYTES:
        raise IntegrityError(
            f"{file} holds {len(members)} arrays of {unpacked} bytes; at most {MAX_MEMBERS} of"
            f" {MAX_UNPACKED_BYTES} are taken",
            hint="a few dozen examples are enough to prove that a model computes what it should",
        )
    inputs: list[str] = []
    outputs: list[str] = []
    lengths: list[str] = []
    labels = False
    for member in members:
        array = member.filename.removesuffix(".npy")
        prefix, _, name = array.partition(".")
        if member.filename == "labels.npy":
            labels = True
        elif prefix == "length" and name.startswith(("input.", "output.")) and array != member.filename:
            lengths.append(name)
        elif prefix == "input" and name and array != member.filename:
            inputs.append(name)
        elif prefix == "output" and name and array != member.filename:
            outputs.append(name)
        else:
            raise IntegrityError(f"{file} has an array {array[:100]!r}, which is no golden name", hint=_HINT)
    if not inputs or not outputs:
        raise IntegrityError(f"{file} has no input or no output", hint=_HINT)
    return GoldenNames(tuple(inputs), tuple(outputs), labels, tuple(lengths))


def check_against(golden: GoldenNames, inputs: Iterable[str], outputs: Iterable[str], *, file: Path) -> None:
    """Check that the golden file feeds what a model asks for and expects what it gives, its stages included.

    Raises:
        IntegrityError: a name is missing or too many.
    """
    asked, given = sorted(inputs), sorted(outputs)
    if sorted(golden.inputs) != asked:
        raise IntegrityError(
            f"{file} feeds {', '.join(sorted(golden.inputs))}; the model asks for {', '.join(asked)}",
            hint=_HINT,
        )
    unknown = sorted(set(golden.outputs) - set(given))
    if unknown:
        raise IntegrityError(
            f"{file} expects {', '.join(unknown)}; the model gives {', '.join(given)}", hint=_HINT
        )
