"""Plain copies by `cp -a`, to know what the disk and the file system allow: yardsticks beside the peers.

They prove nothing and keep nothing in mind. One writes every byte and flushes, as ours does; the other shares blocks
and is the least that any tool can do on a file system with reflinks.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.syncing.places import Place
from benchmarks.syncing.process import Ran, bytes_below, run

DISK = "cp -a, flushed"
CLONES = "cp --reflink"


class Copy:
    """Makes the whole tree anew, every time."""

    def __init__(self, place: Place, *, shared: bool = False) -> None:
        """Begin with an empty place; `shared` shares blocks and flushes nothing."""
        self.name = CLONES if shared else DISK
        self._place = place
        self._shared = shared
        self._moved = 0

    def sync(self, source: Path) -> Ran:
        """Copy the source to where nothing is."""
        there = self._place.folder / source.name
        if there.exists():
            shutil.rmtree(there)  # not its task, so not its time
        ran = self._copy(source, there)
        self._moved = 0 if self._shared else bytes_below(there)
        return ran

    def restore(self, source: Path, target: Path) -> Ran:
        """Copy the source, as it is now, to the folder: the same bytes that others bring back."""
        return self._copy(source, target / source.name)

    def moved(self, ran: Ran) -> int:
        """Give the bytes of the tree; none when blocks are shared."""
        del ran
        return self._moved

    def _copy(self, here: Path, there: Path) -> Ran:
        if self._shared:
            return run(["cp", "-a", "--reflink=always", here, there])
        script = 'cp -a --reflink=never "$1" "$2" && sync -f "$2"'
        return run(["sh", "-c", script, "sh", here, there])
