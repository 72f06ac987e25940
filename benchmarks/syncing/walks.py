"""A walk: a source, what happens to it step by step, and the tools that bring their places up to date after each step.

`benchmarks/sync.py` chooses the walks; what each tool took goes to `note` as soon as it is known.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.syncing import workloads as work
from benchmarks.syncing.copies import DISK, Copy
from benchmarks.syncing.ours import Ours
from benchmarks.syncing.peers import Borg, Rclone, Restic, Rsync, missing
from benchmarks.syncing.places import Place, place_of
from benchmarks.syncing.process import Ran, bytes_below, nothing_left_running

WALKS = {
    "local": ("large", "small", "text"),
    "reflink": ("large", "small"),
    "ssh": ("large", "small"),
    "s3": ("large", "small"),
    "moto": ("small",),
}
"""Walks of each place. moto keeps all in memory and is there for the requests, so it gets no large file."""
SHORTENED = {
    "moto": "moto answers a few hundred requests a second and rclone makes one a file: no change of 1 %, no restore",
    "ssh": "rclone is left out over SSH, where it starts a session a file: 20,000 files take hours",
}
ONLY = {DISK: ("first copy", "restored")}
"""Steps of a yardstick that says nothing in the others."""
UNTARGETED = ("rsync --fsync", "rclone", "borg, encrypted")
"""Peers that no target on folders is about."""


class Tool(Protocol):
    """Something that keeps a place equal to a source."""

    name: str

    def sync(self, source: Path) -> Ran:
        """Bring the place up to date."""
        ...

    def restore(self, source: Path, target: Path) -> Ran:
        """Bring everything back into an empty folder."""
        ...

    def moved(self, ran: Ran) -> int:
        """Give the bytes that a run moved."""
        ...


@dataclass(frozen=True)
class Walk:
    """Which walk, at which place, of which size."""

    place: str
    name: str
    turn: int
    size: int
    """Bytes of the large file."""
    files: int
    skip: frozenset[str] = frozenset()
    """Names of tools that sit this one out."""


Note = Callable[[str, str, Ran, int, int], None]
"""Takes case, tool, what it took, the bytes that it moved and those that were new."""


def take(walk: Walk, folder: Path, note: Note) -> None:
    """Do a walk in an empty folder, the tools by turns that rotate from repetition to repetition."""
    source = folder / "source/data"
    source.mkdir(parents=True)
    with place_of(walk.place, folder / "place") as place, nothing_left_running():
        tools = [tool for tool in _tools(walk.place, place, folder) if tool.name not in walk.skip]
        first = walk.turn % len(tools)
        tools = tools[first:] + tools[:first]
        for case, happen in _steps(walk, source):
            changed = happen()
            for tool in _present(tools, case):
                os.sync()  # what came before must not be paid for here
                ran = tool.sync(source)
                note(case, tool.name, ran, tool.moved(ran), changed)
        case, size = f"{walk.name}, restored", bytes_below(source)
        for tool in _present(tools, case) if walk.place != "moto" else ():
            back = folder / "back"
            back.mkdir()
            os.sync()
            ran = tool.restore(source, back)
            if walk.turn == 0 or tool.name.startswith("ours"):  # of the others once is enough
                _compare(tool.name, source, back / source.name)
            note(case, tool.name, ran, 0, size)
            shutil.rmtree(back)


def _present(tools: Iterable[Tool], case: str) -> list[Tool]:
    step = case.rpartition(", ")[2]
    return [tool for tool in tools if step in ONLY.get(tool.name, (step,))]


def _steps(walk: Walk, source: Path) -> Iterator[tuple[str, Callable[[], int]]]:
    """Yield each step with what makes it; what it returns are the bytes that are new."""
    large = source / "large"
    if walk.name == "large":

        def first() -> int:
            work.write_large(large, walk.size)
            return walk.size

        yield "large, first copy", first
        yield "large, 2 % in 64 KiB", lambda: work.overwrite(large, 64 * work.KIB, seed=2)
        yield "large, 2 % in 4 KiB", lambda: work.overwrite(large, 4 * work.KIB, seed=7)
        yield "large, 1 MiB inserted", lambda: work.insert(large)
    elif walk.name == "small":
        yield "small, first copy", lambda: work.write_small(source, walk.files)
        if walk.place != "moto":
            yield "small, 1 % changed", lambda: work.change_small(source, walk.files)
        yield "small, nothing changed", lambda: 0
    else:
        yield "text, first copy", lambda: work.write_text(source, walk.files)
        yield "text, a line in 1 %", lambda: work.change_text(source)


def _tools(kind: str, place: Place, folder: Path) -> Iterator[Tool]:
    gone = missing()
    if kind in {"local", "reflink"}:
        yield Ours(place.fresh("mirror"), folder / "mirror", layout="mirror")
    if kind == "reflink":  # what a mirror is measured against; the others store no plain files
        if "rsync" not in gone:
            yield Rsync(place.fresh("rsync"))
            yield Rsync(place.fresh("flushed"), "--fsync")
        yield Copy(place.fresh("clones"), shared=True)
        return
    yield Ours(place.fresh("packs"), folder / "packs", layout="packs")
    yield Ours(place.fresh("sealed"), folder / "sealed", layout="packs", encrypted=True)
    if "rsync" not in gone and kind in {"local", "ssh"}:
        yield Rsync(place.fresh("rsync"))
    if "rsync" not in gone and kind == "local":
        yield Rsync(place.fresh("flushed"), "--fsync")
    if "rclone" not in gone and kind != "ssh":
        yield Rclone(place.fresh("rclone"))
    if "restic" not in gone:
        yield Restic(place.fresh("restic"))
    if "borg" not in gone and kind in {"local", "ssh"}:
        yield Borg(place.fresh("borg"))
        yield Borg(place.fresh("borgsealed"), encrypted=True)
    if kind == "local":
        yield Copy(place.fresh("copied"))


def _compare(name: str, here: Path, there: Path) -> None:
    """See that what came back is what there was: names, kinds, bytes, times (rclone keeps none of folders)."""
    command = ["rsync", "-an", "--checksum", "--delete", "--itemize-changes", f"{here}/", f"{there}/"]
    compared = subprocess.run(command, capture_output=True, text=True, check=True)
    ignored = (" ./", "/") if name == "rclone" else (" ./",)
    wrong = [line for line in compared.stdout.splitlines() if not line.endswith(ignored)]
    assert not wrong, f"{name}: what came back differs: {wrong[:10]}"
