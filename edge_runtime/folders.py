"""The files of a state folder and how they are written: never in place, always durable before anybody may rely on them.

    STATE/edge.sqlite                 see `store`
    STATE/outbox.sqlite               see `outbox`; STATE/outbox.sqlite-wal beside it
    STATE/lock                        held by the daemon that runs
    STATE/serving.json                where it serves; written anew at each start
    STATE/standing.json               what only the running daemon knows, see `standing`
    STATE/indexes/ARTIFACT            bytes of the index, checked
    STATE/parts/ARTIFACT              chunks one after the other, those of the bitmap are true
    STATE/versions/ARTIFACT/...       files of a version, each byte checked; a folder is there whole or not at all
    STATE/plans/                      what TensorRT made of versions, here or on a machine like this, see `engine.plan`

Names below `parts`, `indexes` and `versions` are digests, so nothing that came over a link is ever a path here except
the paths of an index, which `wire.paths` has checked.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import StoreError
from toolkit.sync.whole import DRAFT_ENDING


@dataclass(frozen=True)
class Folders:
    """Paths of a state folder."""

    state: Path

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.state / "edge.sqlite"

    @property
    def outbox(self) -> Path:
        """The records that wait."""
        return self.state / "outbox.sqlite"

    @property
    def serving(self) -> Path:
        """Where the daemon says at which address it serves."""
        return self.state / "serving.json"

    @property
    def standing(self) -> Path:
        """Where the daemon says what only it knows."""
        return self.state / "standing.json"

    def index(self, artifact: str) -> Path:
        """File of an artifact's index."""
        return self.state / "indexes" / artifact

    def part(self, artifact: str) -> Path:
        """File of an artifact's chunks."""
        return self.state / "parts" / artifact

    def version(self, artifact: str) -> Path:
        """Folder of an artifact's files."""
        return self.state / "versions" / artifact

    @property
    def plans(self) -> Path:
        """Folder of TensorRT's plans; made when there is one."""
        return self.state / "plans"

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            StoreError: the state folder cannot be written.
        """
        try:
            for name in ("indexes", "parts", "versions"):
                (self.state / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = "choose another folder (state), or make it writable for this user"
            raise StoreError(f"state folder {self.state} cannot be used: {error}", hint=hint) from error

    def sweep(self) -> None:
        """Delete drafts that a killed daemon left; only for the one that has the lock."""
        for folder in (self.state, self.state / "indexes"):
            for draft in folder.glob(f".*{DRAFT_ENDING}"):
                draft.unlink(missing_ok=True)
        for draft in self.plans.glob(f".*.fetched{DRAFT_ENDING}"):  # others are of builds, which need no lock
            draft.unlink(missing_ok=True)

    def lock(self) -> int:
        """Take the folder for this process, until the returned descriptor is closed or the process ends.

        Raises:
            StoreError: another daemon has it.
        """
        descriptor = os.open(self.state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            message = f"another tiers-edge runs on {self.state}"
            raise StoreError(message, hint="stop it, or give this one a state folder of its own") from error
        return descriptor

    def stored(self) -> set[str]:
        """Give the artifacts of which anything lies here."""
        found: set[str] = set()
        for name in ("indexes", "parts", "versions"):
            with suppress(FileNotFoundError):
                names = [path.name for path in (self.state / name).iterdir()]
                found |= {each.partition(".")[0] for each in names if not each.startswith(".")}
        return found

    def used_bytes(self) -> int:
        """Give what artifacts take on the disk."""
        total = 0
        for name in ("indexes", "parts", "versions"):
            for path in (self.state / name).rglob("*"):
                with suppress(FileNotFoundError):
                    stat = path.lstat()
                    total += stat.st_blocks * 512
        return total


def remove(path: Path) -> None:
    """Delete a file or a folder with all that is in it; nothing happens when it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
