"""Plans on disk: what one is for, checked before TensorRT sees a byte of it, and how it is written and found again.

A plan is TensorRT's compiled form of a model: executable code for one version of TensorRT on one kind of machine.
TensorRT itself has no check that could be asked first (a plan of another version gives None, one of another GPU may
give an error or wrong numbers), so each file begins with a header that says all that the plan depends on:

    TIERS-PLAN  u16 format  u32 length of the header  header (JSON)  plan

`choose` looks for a plan by the key that this model has on this machine; what differs is refused and built again,
never tried. A plan that is here was built here by `build`, or fetched as a countersigned artifact and taken in by
`adopt`, which writes down where it comes from (`origin`); the folder is this user's alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from edge_runtime.engine.base import TensorSpec
from edge_runtime.engine.weights import weight_files
from toolkit.errors import EngineError, StoreError
from toolkit.sync.whole import write_whole
from toolkit.wire.learnt import learn
from toolkit.wire.plan import MOST_PLAN_BYTES, PlanMachine

MAGIC: Final = b"TIERS-PLAN"
FORMAT: Final = 1
FETCHED_FORMAT: Final = 2
"""Of a plan with an origin."""
START: Final = struct.Struct(f"<{len(MAGIC)}sHI")
MOST_HEADER: Final = 256 * 1024
BUDGET: Final = 8 * 1024**3
"""Bytes of all plans of a folder; the least recently used ones above it go."""
OTHERS_MAY_WRITE: Final = 0o022
PRIVATE: Final = 0o600
BLOCK: Final = 1024 * 1024


class PlanRefusedError(EngineError):
    """A plan is not one for this model on this machine, or its file is damaged."""


class PlanKey(PlanMachine, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a plan depends on. Two machines with equal keys may use the same plan."""

    model: str
    """SHA-256 of the model's files."""

    def digest(self) -> str:
        """Give a name for files: 32 hexadecimal digits of SHA-256 over the fields in order."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:32]

    def differences(self, other: PlanKey) -> str:
        """Say in which fields another key differs, for people."""
        found = [
            f"{name} {getattr(other, name) or 'none'}, here {getattr(self, name) or 'none'}"
            for name in self.__struct_fields__
            if getattr(self, name) != getattr(other, name)
        ]
        return "; ".join(found)


class KeptTensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `TensorSpec` in a header."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class PlanHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What stands before a plan."""

    key: PlanKey
    inputs: tuple[KeptTensor, ...]
    """What the ONNX model takes: what clients were promised."""
    outputs: tuple[KeptTensor, ...]
    buckets: tuple[int, ...]
    """Rows of each profile, in their order; a model of a fixed number of rows has that one."""
    plan_bytes: int
    plan_sha256: str
    seconds: float
    """Time that the build took."""
    origin: str = ""
    """Artifact of kind plan that it was fetched as; empty when it was built on this machine. New in format 2."""


def keep_specs(specs: tuple[TensorSpec, ...]) -> tuple[KeptTensor, ...]:
    """Write tensors down."""
    return tuple(KeptTensor(spec.name, spec.dtype.name, spec.shape) for spec in specs)


def read_specs(kept: tuple[KeptTensor, ...]) -> tuple[TensorSpec, ...]:
    """Read tensors back."""
    return tuple(TensorSpec(each.name, np.dtype(each.dtype), each.shape) for each in kept)


def model_digest(model_file: Path) -> str:
    """Give the SHA-256 over the names and bytes of all files of a model.

    Raises:
        EngineError: a file is missing or cannot be read.
    """
    total = hashlib.sha256()
    try:
        for file in weight_files(model_file):
            name = b"" if file == model_file else os.fsencode(file.relative_to(model_file.parent))
            total.update(struct.pack("<IQ", len(name), file.stat().st_size) + name)
            with file.open("rb") as stream:
                while block := stream.read(BLOCK):
                    total.update(block)
    except OSError as exc:
        raise EngineError(f"{model_file}: cannot be read: {exc}") from exc
    return total.hexdigest()


@dataclass(frozen=True)
class Plans:
    """A folder of plans."""

    folder: Path
    budget_bytes: int = BUDGET

    def file(self, key: PlanKey) -> Path:
        """Give where the plan of this key lies, if there is one."""
        return self.folder / f"{key.model[:16]}-{key.digest()}.plan"

    def load(self, key: PlanKey) -> tuple[PlanHeader, bytes]:
        """Read the plan of this key, after everything about it was checked.

        Raises:
            PlanRefusedError: there is none, or the file is damaged, too large, another one's, or not for this key.
        """
        file = self.file(key)
        try:
            with file.open("rb") as stream:
                facts = os.fstat(stream.fileno())
                if facts.st_uid != os.geteuid() or facts.st_mode & OTHERS_MAY_WRITE:
                    raise PlanRefusedError(
                        f"{file}: somebody else could have written it", hint="delete it; it is built again"
                    )
                header = read_header(file, stream.read(START.size + MOST_HEADER), facts.st_size, key)
                stream.seek(facts.st_size - header.plan_bytes)
                plan = stream.read(header.plan_bytes)
        except FileNotFoundError as exc:
            raise PlanRefusedError(self._why_none(key), hint="tiers-edge build makes one") from exc
        except OSError as exc:
            raise PlanRefusedError(f"{file}: cannot be read: {exc}") from exc
        if hashlib.sha256(plan).hexdigest() != header.plan_sha256:
            raise PlanRefusedError(f"{file}: its bytes are not those that were written", hint="delete it")
        with suppress(OSError):
            os.utime(file)  # it was used
        return header, plan

    def store(self, header: PlanHeader, plan: bytes) -> Path:
        """Write a plan, whole or not at all, and let go of the least recently used ones above the budget.

        Raises:
            StoreError: the disk did not take it.
            EngineError: it is larger than any plan may be.
        """
        if len(plan) > MOST_PLAN_BYTES:
            raise EngineError(f"the plan has {len(plan)} bytes; at most {MOST_PLAN_BYTES} are kept")
        file = self.file(header.key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(file, head_of(header) + plan, mode=PRIVATE)
        except OSError as exc:
            raise StoreError(
                f"{file}: the plan cannot be written: {exc}", hint="free some disk space"
            ) from exc
        self.thin_out(file)
        return file

    def peek(self, key: PlanKey) -> PlanHeader | None:
        """Give the header of the plan of this key; None when there is none that `load` could take."""
        file = self.file(key)
        with suppress(OSError, PlanRefusedError), file.open("rb") as stream:
            return read_header(
                file, stream.read(START.size + MOST_HEADER), os.fstat(stream.fileno()).st_size, key
            )
        return None

    def refuse(self, key: PlanKey, origin: str) -> None:
        """Delete a fetched plan that is not right, and remember it, so that it is not fetched again."""
        self.write_extra(_refused(key), origin.encode())
        self.file(key).unlink(missing_ok=True)

    def refused(self, key: PlanKey) -> str:
        """Give the artifact of the last fetched plan that was not right here; empty when there was none."""
        return self.read_extra(_refused(key))[:64].decode("ascii", "replace")

    def read_extra(self, name: str) -> bytes:
        """Read a file beside the plans, such as a timing cache; no bytes when it is not there."""
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            return b""

    def write_extra(self, name: str, data: bytes) -> None:
        """Write such a file; what cannot be written is only a loss of time later."""
        with suppress(OSError):
            write_whole(self.folder / name, data, mode=PRIVATE)

    @contextmanager
    def building(self, key: PlanKey) -> Iterator[None]:
        """Let one process at a time build a plan; the others wait and then find it.

        Raises:
            StoreError: the folder cannot be used.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(
                self.folder / f"{key.digest()}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE
            )
        except OSError as exc:
            raise StoreError(f"{self.folder}: cannot be written: {exc}") from exc
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _why_none(self, key: PlanKey) -> str:
        for file in sorted(self.folder.glob(f"{key.model[:16]}-*.plan")):
            with suppress(OSError, EngineError), file.open("rb") as stream:
                other = read_header(file, stream.read(START.size + MOST_HEADER), file.stat().st_size, None)
                if other.key.model == key.model:
                    return f"the plan of this model was built for {key.differences(other.key)}"
        return "no plan of this model was built on this machine yet"

    def thin_out(self, newest: Path) -> None:
        """Let go of the least recently used plans above the budget."""
        found: list[tuple[float, int, Path]] = []
        for file in self.folder.glob("*.plan"):
            with suppress(OSError):
                facts = file.stat()
                found.append((facts.st_mtime, facts.st_size, file))
        total = sum(size for _, size, _ in found)
        for _, size, file in sorted(found):
            if total <= self.budget_bytes:
                return
            if file != newest:
                with suppress(OSError):
                    file.unlink()
                total -= size


def _refused(key: PlanKey) -> str:
    return f"{key.digest()}.refused"


def head_of(header: PlanHeader) -> bytes:
    """Write what stands before a plan, in the lowest format that can say it."""
    head = msgspec.json.encode(header)
    return START.pack(MAGIC, FETCHED_FORMAT if header.origin else FORMAT, len(head)) + head


def read_header(file: Path | str, data: bytes, size: int, key: PlanKey | None) -> PlanHeader:
    """Read and check what stands before a plan.

    Args:
        file: what to call it in an error.
        data: its first bytes, `START.size + MOST_HEADER` of them unless it has fewer.
        size: of the whole file.
        key: what it must be for; None takes any.

    Raises:
        PlanRefusedError: it is damaged or not for this key.
    """
    if len(data) < START.size:
        raise PlanRefusedError(f"{file}: it ends in its first bytes", hint="delete it")
    magic, number, length = START.unpack_from(data)
    if magic != MAGIC:
        raise PlanRefusedError(f"{file}: it is not a plan of tiers-edge", hint="delete it")
    if number not in {FORMAT, FETCHED_FORMAT}:
        raise PlanRefusedError(
            f"{file}: it has format {number}, this version reads {FORMAT} and {FETCHED_FORMAT}",
            hint="delete it",
        )
    if length > MOST_HEADER or START.size + length > size:
        raise PlanRefusedError(f"{file}: its header says that it has {length} bytes", hint="delete it")
    try:
        header = msgspec.json.decode(data[START.size : START.size + length], type=learn(PlanHeader))
    except msgspec.DecodeError as exc:
        raise PlanRefusedError(f"{file}: its header cannot be read: {exc}", hint="delete it") from exc
    if not 0 < header.plan_bytes <= MOST_PLAN_BYTES or START.size + length + header.plan_bytes != size:
        raise PlanRefusedError(f"{file}: its size is not what its header says", hint="delete it")
    if not header.buckets or list(header.buckets) != sorted(set(header.buckets)) or header.buckets[0] < 1:
        raise PlanRefusedError(f"{file}: its header names buckets {header.buckets}", hint="delete it")
    if key is not None and header.key != key:
        raise PlanRefusedError(f"{file}: it was built for {key.differences(header.key)}", hint="delete it")
    return header
