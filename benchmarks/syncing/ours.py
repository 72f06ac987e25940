"""Ours as a pod runs it: `python -m cloud_jobs.sync_agent --once`, one process a run, its start included."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.syncing.places import Place
from benchmarks.syncing.process import Ran, bytes_below, run
from toolkit.sync.key_file import make_key_file
from toolkit.sync.task import Storage, SyncTask, encode_tasks


class Ours:
    """A route from the source to one place."""

    def __init__(
        self,
        place: Place,
        folder: Path,
        *,
        layout: str,
        encrypted: bool = False,
        grid: Literal["data", "weights"] = "data",
    ) -> None:
        """Begin with an empty place; `folder` keeps the task and the key."""
        self.name = f"ours, {layout}" + (", encrypted" if encrypted else "")
        self._grid = grid
        self._place = place
        self._folder = folder
        self._layout = layout
        self._key = ""
        self._last = 0
        folder.mkdir()
        if encrypted:
            make_key_file(folder / "key")
            self._key = str(folder / "key")

    def sync(self, source: Path) -> Ran:
        """Bring the place what it lacks."""
        return self._agent(_storage_of(source.parent, "mirror"), self._storage(), source.name)

    def restore(self, source: Path, target: Path) -> Ran:
        """Bring everything back into an empty folder, each chunk proven."""
        return self._agent(self._storage(), _storage_of(target, "mirror", "hot"), source.name)

    def moved(self, ran: Ran) -> int:
        """Give how much a store of packs grew, its lists and indexes included; of a mirror what the agent says."""
        if self._layout == "packs" and self._place.kind != "moto":
            before, self._last = self._last, bytes_below(self._place.folder)
            return self._last - before
        return int(json.loads(ran.output)["bytes_moved"])

    def _storage(self) -> Storage:
        if self._place.ssh is not None:
            storage = self._place.ssh.storage(self._place.folder)
        elif self._place.s3 is not None:
            storage = self._place.s3.storage(self._place.bucket)
        else:
            storage = _storage_of(self._place.folder, self._layout, "cold")
        return msgspec.structs.replace(storage, key_file=self._key)

    def _agent(self, source: Storage, target: Storage, path: str) -> Ran:
        file = self._folder / "tasks.json"
        task = SyncTask(route="bench", source=source, targets=(target,), path=path, grid=self._grid)
        file.write_bytes(encode_tasks([task]))
        return run([sys.executable, "-m", "cloud_jobs.sync_agent", str(file), "--once"])


def _storage_of(folder: Path, layout: str, tier: str = "warm") -> Storage:
    return msgspec.convert({"tier": tier, "url": folder.as_uri(), "layout": layout}, Storage)
