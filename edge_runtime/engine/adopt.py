"""Take a plan that another machine has built into this machine's folder of plans, if it is one for this model here.

    plan_fetch (its chunks, each checked) -> here: header, key, SHA-256 -> a file of `plan` -> the golden check

Who built it and who countersigned it was asked before a byte of it was fetched. Here nothing of it reaches TensorRT:
the header has to name exactly the key, the tensors and the buckets that this machine would build for. It is written
anew, with the origin, so that everybody who opens the plan later knows that it was not built here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

from msgspec.structs import replace

from edge_runtime.engine.build import BuildSettings, UnsuitableModelError, plan_buckets
from edge_runtime.engine.choose import NoGpuError, machine_tools
from edge_runtime.engine.onnx_signature import read_signature
from edge_runtime.engine.plan import (
    MOST_HEADER,
    PRIVATE,
    START,
    KeptTensor,
    PlanHeader,
    PlanKey,
    PlanRefusedError,
    Plans,
    head_of,
    keep_specs,
    read_header,
)
from toolkit.errors import MissingExtraError
from toolkit.sync.whole import DRAFT_ENDING, sync_folder

STEP_BYTES: Final = 8 * 1024 * 1024
"""Bytes that one step writes, about."""


@dataclass(frozen=True)
class Wanted:
    """What this machine would build of a model: what a plan must be for to be taken instead."""

    key: PlanKey
    inputs: tuple[KeptTensor, ...]
    outputs: tuple[KeptTensor, ...]
    buckets: tuple[int, ...]


def wanted_here(model_file: Path, max_batch: int) -> Wanted | None:
    """Say what plan of a model this machine needs; None where TensorRT does not run it.

    It opens the GPU and TensorRT, and reads the whole model.

    Raises:
        EngineError: the model cannot be read, or the GPU cannot be used.
    """
    settings = BuildSettings(max_batch=max_batch)
    try:
        signature = read_signature(model_file)
        buckets = plan_buckets(signature, settings, model_file.name)
        key = machine_tools().key(model_file, settings)
    except (NoGpuError, MissingExtraError, UnsuitableModelError):
        return None
    return Wanted(key, keep_specs(signature.inputs), keep_specs(signature.outputs), buckets)


def adopt(
    plans: Plans,
    wanted: Wanted,
    origin: str,
    size: int,
    pieces: Iterator[bytes],
    writing: Callable[[], AbstractContextManager[None]],
) -> Iterator[None]:
    """Write a fetched plan, whole or not at all; pauses after about `STEP_BYTES`.

    Args:
        plans: where it goes.
        wanted: what it has to be for.
        origin: its artifact.
        size: of the whole file, as its index says.
        pieces: the file's bytes in order.
        writing: is entered around the moment from which on the plan is there.

    Raises:
        PlanRefusedError: it is for something else, or damaged.
        OSError: the disk did not take it.
    """
    head = bytearray()
    for piece in pieces:
        head += piece
        if len(head) >= START.size + MOST_HEADER:
            break
    header = _checked(bytes(head), size, wanted, origin)
    file = plans.file(wanted.key)
    draft = file.with_name(f".{file.name}.fetched{DRAFT_ENDING}")
    plans.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(head_of(replace(header, origin=origin)))
            first = bytes(head[size - header.plan_bytes :])
            yield from _copy(stream, chain((first,), pieces), header, origin)
            stream.flush()
            os.fsync(stream.fileno())
        with writing():
            draft.replace(file)
            sync_folder(plans.folder)
    finally:
        draft.unlink(missing_ok=True)
    plans.thin_out(file)


def _checked(head: bytes, size: int, wanted: Wanted, origin: str) -> PlanHeader:
    what = f"the plan {origin[:12]}"
    header = read_header(what, head, size, wanted.key)
    promised = (header.inputs, header.outputs, header.buckets)
    if promised != (wanted.inputs, wanted.outputs, wanted.buckets):
        raise PlanRefusedError(f"{what}: its tensors or buckets are not those of the model here")
    return header


def _copy(stream: BinaryIO, blocks: Iterator[bytes], header: PlanHeader, origin: str) -> Iterator[None]:
    total, written, paused = hashlib.sha256(), 0, 0
    for block in blocks:
        written += len(block)
        total.update(block)
        stream.write(block)
        if written - paused >= STEP_BYTES:
            paused = written
            yield
    if written != header.plan_bytes or total.hexdigest() != header.plan_sha256:
        raise PlanRefusedError(f"the plan {origin[:12]}: its bytes are not those that its builder wrote")
