"""Write a file whole or not at all.

Every file that a job leaves goes through here: temporary name, fsync, rename, fsync of the folder. A reader, or a
worker that starts again after a kill, never sees half of one.
Flow: checkpoint, golden, export and metrics -> `write_whole` -> disk.
"""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path`; the folder is made when it is missing, an old file is replaced at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
