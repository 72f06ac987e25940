"""Save and load the whole state of a run, so that a stopped gang goes on as if nothing had happened.

Flow: trainer -> `CheckpointFolder.save` (first worker only) -> folder on shared storage -> `newest` (every worker)
-> trainer. Order of samples and all chance are functions of seed and step, so the step number stands for them.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # only the error; nothing is unpickled here
from typing import Any

import torch

from toolkit.errors import IntegrityError
from toolkit.sync.whole import write_whole

FORMAT = 1
KEPT = 2
"""How many checkpoints stay: the newest, and one before it in case the newest cannot be read."""

_NAME = re.compile(r"step-(\d{9})\.pt")


@dataclass(frozen=True)
class Checkpoint:
    """The state after `step` steps. `run` names what is being trained; another run cannot go on from it."""

    run: str
    step: int
    model: dict[str, torch.Tensor]
    optimizer: dict[str, Any]


class CheckpointFolder:
    """The checkpoints of one run. Files whose names do not look like ours are left alone."""

    def __init__(self, folder: Path, run: str) -> None:
        """Use `folder`, which need not exist yet, for the run with this name."""
        self.folder = folder
        self.run = run

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint whole, drop the ones that are too old, and return its path."""
        buffer = io.BytesIO()
        fields = {"format": FORMAT, "run": checkpoint.run, "step": checkpoint.step}
        torch.save(fields | {"model": checkpoint.model, "optimizer": checkpoint.optimizer}, buffer)
        path = self.folder / f"step-{checkpoint.step:09d}.pt"
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, buffer.getvalue())
        for old in self._paths()[:-KEPT]:
            old.unlink(missing_ok=True)
        return path

    def newest(self) -> Checkpoint | None:
        """Return the checkpoint with the highest step, or None when there is none yet.

        Raises:
            IntegrityError: it cannot be read, or belongs to another run; the hint says what to do.

        """
        paths = self._paths()
        if not paths:
            return None
        path = paths[-1]
        try:
            # weights_only: a checkpoint comes from shared storage, and an unrestricted pickle could run code.
            fields = torch.load(path, map_location="cpu", weights_only=True)
            found, run = fields["format"], fields["run"]
            checkpoint = Checkpoint(run, fields["step"], fields["model"], fields["optimizer"])
        except (OSError, EOFError, KeyError, RuntimeError, TypeError, UnpicklingError) as error:
            raise IntegrityError(
                f"checkpoint {path} cannot be read: {error}",
                hint=f"rm {path}   # the run goes on from the one before it, or from the start",
            ) from error
        if found != FORMAT:
            raise IntegrityError(f"checkpoint {path} has format {found}, this version reads {FORMAT}")
        if run != self.run:
            raise IntegrityError(
                f"checkpoint {path} belongs to another run ({run}), this is {self.run}",
                hint=f"give this run a folder of its own, or remove {self.folder}",
            )
        return checkpoint

    def _paths(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))
