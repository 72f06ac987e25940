"""A Secret as kubelet mounts it: every file a link through `..data`, which is turned to a new folder in one step."""

from __future__ import annotations

import os
from pathlib import Path


class Mounted:
    """A folder of such links."""

    def __init__(self, folder: Path, **files: bytes) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._turns = 0
        self.turn(**files)

    def turn(self, **files: bytes) -> None:
        """Put other files there, all at once; `_` in a name stands for a dot."""
        self._turns += 1
        target = self.folder / f"..2026_{self._turns}"
        target.mkdir()
        for key, data in files.items():
            name = key.replace("_", ".")
            (target / name).write_bytes(data)
            link = self.folder / name
            if not link.is_symlink():
                link.symlink_to(Path("..data", name))
        temporary = self.folder / "..data_tmp"
        temporary.symlink_to(target.name)
        os.replace(temporary, self.folder / "..data")  # noqa: PTH105 -- of a link, not of what it leads to

    def file(self, name: str) -> str:
        """Name a file of it."""
        return str(self.folder / name)
