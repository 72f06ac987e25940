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
from toolkit.wire.document import Document, Sparse, decode_json, encode_json
from toolkit.wire.paths import check_path

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


class Storage(Sparse, frozen=True, kw_only=True):
    """Where a tier keeps data, and how a machine gets in. Secrets stand in files, never in a task."""

    tier: str
    url: str
    """file:///folder, s3://bucket/prefix or sftp://user@host:port/folder."""
    layout: Literal["mirror", "packs"] = "mirror"
    """mirror: files as they are; packs: chunks in packs."""
    endpoint: str = ""
    """Format 2. Address of an S3 service that is not Amazon's."""
    region: str = ""
    """Format 2. Region of the S3 bucket."""
    credentials_file: str = ""
    """Format 2. File with the login: access key of S3, private key of SSH."""
    known_hosts_file: str = ""
    """Format 2. File with the host keys of SSH that are believed; empty takes that of the user."""
    ca_file: str = ""
    """Format 2. File with the authorities that the certificate of an S3 service may come from; empty: the system's."""
    object_class: str = ""
    """Format 2. Storage class of S3 in which packs are put."""
    key_file: str = ""
    """Format 2. File with the key that everything is encrypted with before it leaves; empty leaves it readable."""


class LimitHours(Sparse, frozen=True, kw_only=True):
    """Hours in which a route has a limit of its own."""

    days: tuple[int, ...]
    """Days of the week on which they begin; Monday is 0."""
    opens: int
    """Minutes since midnight."""
    closes: int
    """Minutes since midnight; not above `opens` means on the next day."""
    bytes_per_second: int


class SyncTask(Document, frozen=True, kw_only=True, omit_defaults=True):
    """One route with its places filled in. Zeros mean "no such condition"."""

    FORMAT: ClassVar[int] = 3
    READS: ClassVar[tuple[int, ...]] = (1, 2, 3)
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
    grid: Literal["data", "scattered", "archive", "weights"] = "data"
    """How finely files are cut; see `toolkit.wire.chunk.grid_for`. Format 3: `weights`, of which packs take what has
    drifted as drifts; see `sync.drifting`."""
    below: str = ""
    """Format 2. Bring only what lies at this path, relative to `path`, and below it; the targets keep all else."""

    spread: bool = False
    """Format 2. Fill only as many targets as `copies` says, chosen by `sync.spread`; otherwise all of them."""
    hours: tuple[LimitHours, ...] = ()
    """Format 2. Hours with another limit than `limit_bytes_per_second`; see `sync.hours`."""
    timezone: str = ""
    """Format 2. Time zone of the hours; empty is UTC."""

    def needed_format(self) -> int:
        """Give the first number that had words for what is said."""
        if self.grid == "weights":
            return 3
        newer = self.below or self.spread or self.hours or self.timezone
        return 2 if newer or any(map(_is_of_2, (self.source, *self.targets))) else 1


_FIRST_FIELDS = {"tier", "url", "layout"}


def _is_of_2(storage: Storage) -> bool:
    fields = msgspec.structs.fields(storage)
    return any(getattr(storage, each.name) for each in fields if each.name not in _FIRST_FIELDS)


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
    for path in (task.path, task.below):
        if path:
            check_path(path.encode())
    if task.below and task.then == "remove_source":
        raise IntegrityError(f"{what} {task.route} takes a part of a path and empties its source; it may not")
    _check_places(task, what)
    numbers = (
        task.every_seconds,
        task.limit_bytes_per_second,
        task.older_than_seconds,
        task.larger_than_bytes,
    )
    _check_hours(task, what)
    if min(numbers) < 0 or not 0 <= task.copies <= len(task.targets):
        raise IntegrityError(
            f"{what} {task.route} has a negative number, or wants more copies than it has targets"
        )
    return task


def _check_places(task: SyncTask, what: str) -> None:
    if not task.targets:
        raise IntegrityError(
            f"{what} {task.route} has no target", hint="give the tier that it goes to a storage"
        )
    if task.source.url in {target.url for target in task.targets}:
        raise IntegrityError(f"{what} {task.route}: {task.source.url} is source and target at once")
    for place in (task.source, *task.targets):
        if place.key_file and place.layout == "mirror":
            raise IntegrityError(
                f"{what} {task.route}: {place.url} keeps files as they are and has a key",
                hint="an encrypted storage has the layout packs",
            )


def _check_hours(task: SyncTask, what: str) -> None:
    for each in task.hours:
        minutes = {each.opens, each.closes}
        if (
            not set(each.days) <= set(range(7))
            or not minutes <= set(range(1441))
            or each.bytes_per_second < 1
        ):
            raise IntegrityError(f"{what} {task.route} has hours that cannot be: {each}")


def with_folders(task: SyncTask, source: Path | None = None, target: Path | None = None) -> SyncTask:
    """Put folders of this machine in the place of a task's storages, to try it. The layouts stay."""
    if source is not None:
        task = msgspec.structs.replace(task, source=_at(task.source, source))
    if target is not None:
        task = msgspec.structs.replace(task, targets=(_at(task.targets[0], target),), copies=0)
    return check_task(task)


def _at(storage: Storage, folder: Path) -> Storage:
    # A login or a key of the real place is none of a folder that stands in for it.
    return Storage(tier=storage.tier, url=folder.absolute().as_uri(), layout=storage.layout)


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
