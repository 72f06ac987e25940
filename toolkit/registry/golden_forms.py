"""Types and shapes of the arrays in a golden file, against what a model with its stages takes and gives.

Read from the first bytes of each .npy, without NumPy and without unpacking the numbers, so that a push finds what would
fail on every device. Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Used by `push`.
"""

from __future__ import annotations

import ast
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from toolkit.errors import IntegrityError, RegistryError
from toolkit.protocol.stage_kinds import Form
from toolkit.protocol.stages import Plan

_MAGIC: Final = b"\x93NUMPY"
_MOST_HEADER: Final = 4096
_DESCRIPTION = re.compile(r"[<>|=]?([biuf])([0-9]{1,2})")
_KINDS: Final = {"b": "bool", "i": "int", "u": "uint", "f": "float"}


def read_golden_forms(file: Path) -> dict[str, Form]:
    """Give type and shape of each array, by its name with prefix; the first axis is the example.

    Raises:
        RegistryError: the file cannot be read.
        IntegrityError: an array of it is none of numbers.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return {
                member.filename.removesuffix(".npy"): _form(archive, member, file)
                for member in archive.infolist()
            }
    except OSError as error:
        raise RegistryError(f"{file} cannot be read: {error.strerror}") from error
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise IntegrityError(f"{file} is not a .npz file: {error}") from error


def _form(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: Path) -> Form:
    with archive.open(member) as stream:
        start = stream.read(8)
        size = int.from_bytes(stream.read(2 if start[6:7] == b"\x01" else 4), "little")
        if start[:6] != _MAGIC or size > _MOST_HEADER:
            raise IntegrityError(f"{file}: {member.filename[:100]} is no NumPy array")
        text = stream.read(size).decode("latin-1")
    try:
        header = ast.literal_eval(text.strip())
        found = _DESCRIPTION.fullmatch(header["descr"])
        shape = tuple(int(axis) for axis in header["shape"])
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise IntegrityError(f"{file}: {member.filename[:100]} is no NumPy array of numbers") from error
    if found is None or not shape:
        raise IntegrityError(
            f"{file}: {member.filename[:100]} is no array of numbers with an axis of examples"
        )
    kind, size = found[1], int(found[2])
    return Form("bool" if kind == "b" else f"{_KINDS[kind]}{8 * size}", shape)


def check_forms(forms: Mapping[str, Form], plan: Plan, *, file: Path) -> None:
    """Check that each example is what a client would send, and each expected output what it would get.

    Raises:
        IntegrityError: one is not, or the arrays have different numbers of examples.
    """
    counts = {name: form.shape[0] for name, form in forms.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise IntegrityError(f"{file} has different numbers of examples: {said}")
    for side, wanted in (("input", plan.inputs), ("output", plan.outputs)):
        for name, want in wanted.items():
            got = forms.get(f"{side}.{name}")
            if got is None:
                continue
            example = Form(got.dtype, got.shape[1:])
            lengths = forms.get(f"length.{side}.{name}")
            if not _fits(example, want, cut=lengths is not None):
                raise IntegrityError(
                    f"{file}: each example of {side}.{name} is {example}; with the stages it has to be {want}",
                    hint="golden inputs go in before the stages, golden outputs come out after them",
                )
    for name, form in forms.items():
        if name.startswith("length.") and (form.dtype[:3] not in {"int", "uin"} or len(form.shape) != 1):
            raise IntegrityError(f"{file}: {name} has to be one whole number an example, and is {form}")


def _fits(example: Form, want: Form, *, cut: bool) -> bool:
    """Say whether an example is what goes in or comes out, or one row of it; of what is cut, the first axis is open."""
    if example.dtype != want.dtype:
        return False
    if len(example.shape) == len(want.shape) - 1 and want.shape[0] in {None, 1}:
        shape = want.shape[1:]
    elif len(example.shape) == len(want.shape):
        shape = want.shape
    else:
        return False
    pairs = list(zip(example.shape, shape, strict=True))
    return all(got == axis or axis is None for got, axis in (pairs[1:] if cut else pairs))
