"""Make a version's folder from a part file, and prove that a folder holds what its index says. Runs on the disk thread.

VERIFYING of the install table: comes after all chunks are here, before the golden check. A folder appears under its
final name only when every byte in it has been checked and is durable.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from edge_runtime.drill import NO_DRILL, Drill
from edge_runtime.folders import remove
from edge_runtime.part import Part
from toolkit.sync.whole import sync_folder
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.index import Entry, Index, distinct_chunks
from toolkit.wire.paths import local


def assemble(index: Index, part: Part, target: Path, drill: Drill = NO_DRILL) -> list[int]:
    """Write the files of `index` into the folder `target`, from the chunks of `part`.

    Returns:
        Numbers of chunks whose bytes are not what their names say; if there are any, nothing was written.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    numbers = {chunk.digest: number for number, chunk in enumerate(distinct_chunks(index))}
    temporary = target.with_name(f"{target.name}.tmp")
    remove(temporary)
    temporary.mkdir()
    bad: set[int] = set()
    folders = {temporary}
    for entry in index.entries:
        path = temporary / local(entry.path)
        if entry.kind == "folder":
            path.mkdir(parents=True, exist_ok=True)
            folders.add(path)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        folders.update(parent for parent in path.parents if parent.is_relative_to(temporary))
        bad.update(_write(path, entry, part, numbers))
    if bad:
        remove(temporary)
        return sorted(bad)
    for folder in folders:
        sync_folder(folder)
    with drill.write("version"):
        temporary.rename(target)
        sync_folder(target.parent)
    return []


def is_whole(index: Index, folder: Path) -> bool:
    """Read every file of a version and tell whether all bytes are what the index says."""
    for entry in index.entries:
        path = folder / local(entry.path)
        if entry.kind == "folder":
            if not path.is_dir():
                return False
            continue
        try:
            if any(digest_of(data) != digest for data, digest in _pieces(path, entry)):
                return False
        except OSError:
            return False
    return True


def _pieces(path: Path, entry: Entry) -> Iterator[tuple[bytes, Digest]]:
    with path.open("rb") as file:
        for chunk in entry.refs():
            yield file.read(chunk.size), chunk.digest
        rest = file.read(1)
        if rest:
            yield rest, Digest("")


def _write(path: Path, entry: Entry, part: Part, numbers: dict[Digest, int]) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in entry.refs():
            data = part.read(numbers[chunk.digest])
            if data is None:
                yield numbers[chunk.digest]
            else:
                file.write(data)
        file.flush()
        # Nothing on a device runs files of an artifact, so no bit for execution is taken over.
        os.fchmod(file.fileno(), 0o600 | (entry.mode & 0o044))
        os.fsync(file.fileno())
