"""Write a small file whole or not at all: beside its place, flushed, renamed, and the folder flushed too.

A reader, or a process that starts again after a kill or a power cut, finds the old bytes or the new ones, never half.
Devices, jobs, the registry and `render` write what they keep through here; folders of data go by `layouts`.
"""

from __future__ import annotations

import os
from pathlib import Path

DRAFT_ENDING = ".part"
"""A draft is hidden (`.NAME.PID.part`); one that a kill left behind may be deleted by whoever owns the folder."""


def write_whole(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Put `data` at `path`, in a folder that is there; an old file is replaced at once.

    Args:
        path: where it goes.
        data: all of it.
        mode: permission bits; None leaves them to the umask.

    Raises:
        OSError: the disk did not take it; the old file is untouched and nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{DRAFT_ENDING}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    Raises:
        OSError: the disk did not take it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
