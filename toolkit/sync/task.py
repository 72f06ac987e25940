"""A sync task: what a pod, a device or `tiers sync run` hands to sync. A document, so that agents get it as JSON.

`toolkit.routes` makes tasks from the routes of tiers.yaml; `sync.run` carries one out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from toolkit.errors import IntegrityError, UsageError
from toolkit.wire.document import Document, decode_json, encode_json
from toolkit.wire.paths import check_path

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


class Storage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a tier keeps data."""

    tier: str
    url: str
    """file:///folder, s3://bucket/prefix or sftp://host/folder."""
    layout: Literal["mirror", "packs"] = "mirror"
    """mirror: files as they are; packs: chunks in packs."""


class SyncTask(Document, frozen=True, kw_only=True):
    """One route with its places filled in. Zeros mean "no such condition"."""

    FORMAT: ClassVar[int] = 1
    route: str
    source: Storage
    targets: tuple[Storage, ...]
    path: str = ""
    """Folder below each storage; empty takes the whole storage."""
    origin: str = ""
    """Which machine the data comes from when several run the same route (a device's name); empty when one does. The
    targets have a folder of this name below `path`, so that machines cannot write over each other's data."""
    every_seconds: float = 0.0
    """Time between two runs of an agent; 0 runs once."""
    limit_bytes_per_second: int = 0
    """Most stored bytes that may move in a second; 0 is no limit."""
    older_than_seconds: float = 0.0
    """Take only files that have not changed for so long; files that are too young stay as the target has them."""
    larger_than_bytes: int = 0
    """Take only files that have more bytes."""
    matching: str = ""
    """Take only files whose name fits this shell pattern (`*.dcm`); empty takes all."""
    trigger: Literal["schedule", "demand"] = "schedule"
    """demand: an agent leaves the task alone, somebody runs it by hand."""
    then: Literal["keep", "remove_source"] = "keep"
    """remove_source: delete a source file once every target has been read back and holds it."""
    copies: int = 0
    """How many targets must hold everything for the run to count; 0 means all of them."""
    grid: Literal["data", "scattered", "archive"] = "data"
    """How finely files are cut; see `toolkit.wire.chunk.grid_for`."""


def encode_task(task: SyncTask) -> bytes:
    """Give a task's JSON."""
    return encode_json(task)


def decode_task(data: bytes, *, what: str = "sync task") -> SyncTask:
    """Read a task.

    Raises:
        IntegrityError: it is damaged, or a field cannot be.
        UnsafePathError: its path would leave the storage.
    """
    return check_task(decode_json(data, SyncTask, what=what), what=what)


def encode_tasks(tasks: Iterable[SyncTask]) -> bytes:
    """Give the JSON of all tasks of an agent: one array."""
    return b"[" + b",".join(encode_task(task) for task in tasks) + b"]"


def decode_tasks(data: bytes, *, what: str = "sync tasks") -> tuple[SyncTask, ...]:
    """Read the tasks of an agent. Errors as in `decode_task`, and IntegrityError when it is not an array."""
    try:
        parts = msgspec.json.decode(data, type=list[msgspec.Raw])
    except msgspec.DecodeError as error:
        raise IntegrityError(f"{what}: not a JSON array of tasks: {error}", hint="render it again") from error
    return tuple(
        decode_task(bytes(part), what=f"{what}, number {number}") for number, part in enumerate(parts, 1)
    )


def check_task(task: SyncTask, *, what: str = "sync task") -> SyncTask:
    """Return the task if it can be carried out.

    Raises:
        IntegrityError: a name, number or place in it cannot be.
        UnsafePathError: its path would leave the storage.
    """
    for name, text in (("route", task.route), ("origin", task.origin)):
        if (text or name == "route") and not _NAME.fullmatch(text):
            raise IntegrityError(
                f"{what}: {name} {text[:70]!r} must be letters, digits, dots, dashes or underscores"
            )
    if task.path:
        check_path(task.path.encode())
    if not task.targets:
        raise IntegrityError(
            f"{what} {task.route} has no target", hint="give the tier that it goes to a storage"
        )
    if task.source.url in {target.url for target in task.targets}:
        raise IntegrityError(f"{what} {task.route}: {task.source.url} is source and target at once")
    numbers = (
        task.every_seconds,
        task.limit_bytes_per_second,
        task.older_than_seconds,
        task.larger_than_bytes,
    )
    if min(numbers) < 0 or not 0 <= task.copies <= len(task.targets):
        raise IntegrityError(
            f"{what} {task.route} has a negative number, or wants more copies than it has targets"
        )
    return task


def with_folders(task: SyncTask, source: Path | None = None, target: Path | None = None) -> SyncTask:
    """Put folders of this machine in the place of a task's storages, to try it. The layouts stay."""
    if source is not None:
        task = msgspec.structs.replace(task, source=_at(task.source, source))
    if target is not None:
        task = msgspec.structs.replace(task, targets=(_at(task.targets[0], target),), copies=0)
    return check_task(task)


def _at(storage: Storage, folder: Path) -> Storage:
    return msgspec.structs.replace(storage, url=folder.absolute().as_uri())


def read_tasks(file: Path) -> tuple[SyncTask, ...]:
    """Read the tasks that a pod mounts.

    Raises:
        UsageError: the file cannot be read.
        IntegrityError: it holds no tasks.
    """
    try:
        return decode_tasks(file.read_bytes(), what=str(file))
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", hint="give the file that the pod mounts") from error
