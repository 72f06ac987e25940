"""Where things go before they are gone: the trash of a storage, by the day on which they went in.

    mirror   .tiers/trash/DAY/PATH           the file itself; DAY~1, DAY~2 when that day has the path already
    packs    refs/trash/DAY/ID → an index    of what routes hold no more; its chunks stay as long as this Ref

DAY is YYYY-MM-DD in UTC. `taking` puts things in, `putting_back` takes them out again; `empty_trash` deletes days that
are older than the policy says, and of them nothing that is held. In packs it lets go of the Ref; `sync.gc` frees chunks
that no state of a route names.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone

from toolkit.sync.folder import Folder, unavailable
from toolkit.sync.layouts.disk import SIDECAR
from toolkit.sync.policies.holds import Hold, held_by
from toolkit.sync.policies.shelf import FolderShelf, Shelf

TRASH = SIDECAR + b"/trash"
TRASH_REFS = "trash/"
AT_ONCE = -math.inf
"""As a time in the trash: even what went in today has been there for long enough."""
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Binned:
    """Something in the trash."""

    day: str
    path: bytes
    """Where it was in the storage."""
    size: int
    number: int = 0
    """Of two of one day and path the higher one went in later."""
    ref: str = ""
    """packs: name of the Ref that keeps it."""

    @property
    def lies_at(self) -> bytes:
        """Where the file of a mirror lies, relative to its root."""
        folder = f"{self.day}~{self.number}" if self.number else self.day
        return TRASH + b"/" + os.fsencode(folder) + b"/" + self.path

    @property
    def age(self) -> tuple[str, int]:
        """Order of those that were at one path: the last one went in last."""
        return self.day, self.number


def day_of(now_ms: int) -> str:
    """Give the day of a time in milliseconds since 1970, in UTC."""
    return datetime.fromtimestamp(now_ms / 1000, tz=timezone.utc).strftime("%Y-%m-%d")


def over_ms(day: str, trash_seconds: float) -> float:
    """Say when even what went in at the end of a day has been in the trash for long enough.

    Returns:
        Milliseconds since 1970; infinity for a folder that is no day: somebody else has put it there.
    """
    try:
        began = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=timezone.utc)
    except ValueError:
        return math.inf
    return began.timestamp() * 1000 + _DAY_MS + trash_seconds * 1000


def is_over(day: str, now_ms: int, trash_seconds: float) -> bool:
    """Say whether even what went in at the end of a day has been in the trash for long enough."""
    return over_ms(day, trash_seconds) <= now_ms


def binned(shelf: Shelf) -> Iterator[Binned]:
    """List what is in the trash. Raises RemoteUnavailableError and IntegrityError."""
    if isinstance(shelf, FolderShelf):
        for path, size in shelf.sizes_below(TRASH):
            folder, _, rest = path[len(TRASH) + 1 :].partition(b"/")
            if rest:
                day, number = _day_and_number(os.fsdecode(folder))
                yield Binned(day, rest, size, number)
        return
    documents = shelf.documents
    for name in documents.list_refs(TRASH_REFS) if documents is not None else ():
        ref = documents.read_ref(name) if documents is not None else None
        if ref is not None and documents is not None:
            day = name.removeprefix(TRASH_REFS).partition("/")[0]
            for entry in documents.entries(ref.digest):
                yield Binned(day, entry.path, entry.size, ref.written_ms, name)


def going(shelf: Shelf, now_ms: int, trash_seconds: float, holds: Sequence[Hold]) -> list[Binned]:
    """List what has been in the trash long enough and is not held; packs keep together what went in together.

    Raises:
        RemoteUnavailableError: the storage does not answer.
        IntegrityError: an index of the trash was damaged.
    """
    over = [each for each in binned(shelf) if is_over(each.day, now_ms, trash_seconds)]
    kept = {each.ref for each in over if each.ref and held_by(holds, each.path)}
    return [each for each in over if each.ref not in kept and not held_by(holds, each.path)]


def empty_trash(shelf: Shelf, now_ms: int, trash_seconds: float, holds: Sequence[Hold]) -> list[Binned]:
    """Delete for good what has been in the trash long enough and is not held; give what went.

    Args:
        shelf: the storage.
        now_ms: the time, in milliseconds since 1970.
        trash_seconds: how long things stay there; `AT_ONCE` takes all of them.
        holds: of the whole site.

    Raises:
        RemoteUnavailableError: the storage does not answer, or cannot be written.
        IntegrityError: an index of the trash was damaged.
    """
    leaving = going(shelf, now_ms, trash_seconds, holds)
    if isinstance(shelf, FolderShelf):
        _delete_files(shelf.folder, leaving)
        return leaving
    documents = shelf.documents
    for name in {each.ref: None for each in leaving}:
        if documents is not None:
            documents.delete_ref(name)
    return leaving


def put_in_trash(folder: Folder, path: bytes, day: str) -> None:
    """Move a file of a mirror into the trash of a day; one of the same path that went in before stays beside it.

    Raises:
        OSError: the disk did not take it, or the file is not there any more.
        UnsafePathError: a folder on the way is a link.
    """
    number = 0
    while _is_there(folder, Binned(day, path, 0, number).lies_at):
        number += 1
    target = Binned(day, path, 0, number).lies_at
    with folder.parent(path) as (here, name), folder.parent(target, create=True) as (there, last):
        os.rename(name, last, src_dir_fd=here, dst_dir_fd=there)
        os.fsync(there)
        os.fsync(here)


def prune_trash(folder: Folder, days: Iterable[bytes]) -> None:
    """Remove folders of the trash that are empty by now, given where they lie. Raises OSError."""
    for each in sorted(set(days)):
        _prune(folder, each)


def _day_and_number(folder: str) -> tuple[str, int]:
    day, _, number = folder.partition("~")
    return (day, int(number)) if number.isdecimal() and number.isascii() else (folder, 0)


def _is_there(folder: Folder, path: bytes) -> bool:
    with suppress(FileNotFoundError), folder.parent(path) as (way, name):
        os.stat(name, dir_fd=way, follow_symlinks=False)
        return True
    return False


def _delete_files(folder: Folder, leaving: Sequence[Binned]) -> None:
    try:
        for each in leaving:
            with suppress(FileNotFoundError), folder.parent(each.lies_at) as (way, name):
                os.unlink(name, dir_fd=way)
        prune_trash(folder, {each.lies_at.removesuffix(b"/" + each.path) for each in leaving})
    except OSError as error:
        raise unavailable(error, folder.path) from error


def _prune(folder: Folder, at: bytes) -> None:
    """Remove a folder and those in it, as far as they are empty."""
    with suppress(FileNotFoundError, NotADirectoryError):
        with folder.folder(at) as descriptor, os.scandir(descriptor) as found:
            names = [os.fsencode(item.name) for item in found if item.is_dir(follow_symlinks=False)]
        for name in names:
            _prune(folder, at + b"/" + name)
        with suppress(OSError), folder.parent(at) as (way, name):
            os.rmdir(name, dir_fd=way)
