"""A loss of power: what is not on the disk then is gone. A run that has ended, or was about to rename, loses nothing.

The mirror lies on an ext4 of its own in a file. What that file holds is what the disk holds; a copy of it, taken while
everything is mounted and mounted beside it, is what is there after a loss of power.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.toolkit.sync.trees import photograph, storage, task_of
from toolkit.errors import RemoteUnavailableError
from toolkit.sync.events import Event, Planned
from toolkit.sync.folder import FEW
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.layouts.mirror import MirrorTarget
from toolkit.sync.pace import Pace
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.run import run_task
from toolkit.sync.selection import EVERYTHING
from toolkit.sync.source import FolderTree
from toolkit.sync.target import Wish
from toolkit.wire.tree import as_tree

IMAGE_BYTES = 24 * 1024 * 1024


class Disk:
    """An ext4 that writes nothing by itself while a test lasts."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image = image
        self.folder = folder
        folder.mkdir()
        # No flush that a run has not asked for: not by the clock, and not when a file replaces another one.
        self._do("mount", "-o", "loop,commit=3000,noauto_da_alloc", str(image), str(folder))

    def after_a_power_cut(self) -> Disk:
        """What the disk holds by now, as a disk of its own."""
        copy = self.image.with_name(f"{self.image.name}-cut")
        shutil.copyfile(self.image, copy)
        return Disk(copy, self.folder.with_name(f"{self.folder.name}-cut"))

    def unmount(self) -> None:
        self._do(
            "umount", "--lazy", str(self.folder)
        )  # a run that failed may be held by its error, with open folders

    def _do(self, *command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True)
        made = Disk(image, tmp_path / "disk")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs hardware: a kernel in which this user may mount an ext4 that lies in a file")
    yield made
    made.unmount()


def fill(source: Path, files: int, seed: int) -> None:
    """Write files that are new, and change some of those that are there."""
    draw = random.Random(seed)
    source.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        if seed == 1 or draw.random() < 0.4:
            (source / f"{number % 3}").mkdir(exist_ok=True)
            name = f"{number}-{seed}" if number % 2 else f"{number}"
            (source / f"{number % 3}" / name).write_bytes(draw.randbytes(3000 + number))


def task_to(root: Path, disk: Disk):
    return task_of(root, storage(disk.folder))


@pytest.mark.parametrize("files", [30, FEW + 50], ids=["one by one", "all at once"])
def test_what_a_run_has_brought_is_there_after_a_power_cut(tmp_path, disk, files):
    source = tmp_path / "edge/frames"
    for seed in (1, 2):
        fill(source, files, seed)
        assert run_task(task_to(tmp_path, disk)).exit_code == 0
        cut = disk.after_a_power_cut()
        try:
            assert photograph(cut.folder / "frames") == photograph(source)
            again = run_task(task_to(tmp_path, cut), check=True)
            assert (again.exit_code, again.bytes_moved, again.targets[0].changed) == (0, 0, False)
        finally:
            cut.unmount()
            cut.image.unlink()
            cut.folder.rmdir()


def test_before_the_first_rename_both_states_are_on_the_disk(tmp_path, disk):
    """The Ref that says what is about to be renamed cannot be written: by then all is flushed and nothing renamed."""
    source, target = tmp_path / "edge/frames", disk.folder / "frames"
    fill(source, 30, 1)
    assert run_task(task_to(tmp_path, disk)).exit_code == 0
    before = photograph(target)
    fill(source, 30, 2)
    # A folder in the place of the Ref, which comes when the run has looked whether there is one.
    in_the_way = disk.folder / ".tiers/refs/routes/frames/next"

    def listen(event: Event) -> None:
        if isinstance(event, Planned):
            in_the_way.mkdir()

    broken = run_task(task_to(tmp_path, disk), listen=listen)
    assert "next" in broken.targets[0].error
    assert photograph(target) == before
    cut = disk.after_a_power_cut()
    try:
        assert photograph(cut.folder / "frames") == before
        with suppress(FileNotFoundError):
            (cut.folder / ".tiers/refs/routes/frames/next").rmdir()
        documents = Documents(DirectoryRemote(str(cut.folder / ".tiers")))
        head = documents.read_ref("routes/frames/head")
        assert head is not None
        indexes = {path.name for path in (cut.folder / ".tiers/indexes").iterdir()}
        assert len(indexes) == 2
        new = documents.get_index((indexes - {head.digest}).pop())  # whole, or this would say so
        assert {entry.path for entry in new.entries} > {path.encode() for path in before}
        result = run_task(task_to(tmp_path, cut))
        assert (result.exit_code, result.bytes_moved) == (0, 0), "all drafts were whole"
        assert photograph(cut.folder / "frames") == photograph(source)
    finally:
        cut.unmount()


class StoppingSidecar(DirectoryRemote):
    """The sidecar of a mirror, behind one of whose steps the run is stopped."""

    def __init__(self, path: Path, stops: str) -> None:
        super().__init__(str(path))
        self._stops = stops

    def _stop(self, where: str) -> None:
        if where == self._stops:
            raise RemoteUnavailableError("stopped here")

    @contextmanager
    def laid_out(self, objects, *, last=None):
        with super().laid_out(objects, last=last) as drafts:
            yield drafts
        self._stop("next is written")

    def move(self, key, onto):
        self._stop("all is renamed")
        super().move(key, onto)
        self._stop("head is written")


@pytest.mark.parametrize("files", [30, 3 * FEW], ids=["one by one", "all at once"])  # 40 % of them change
@pytest.mark.parametrize("stops", ["next is written", "all is renamed", "head is written"])
def test_each_step_finds_the_one_before_on_the_disk(tmp_path, disk, stops, files):
    """Names are there before the Ref that says so, and `next` before the first name changes."""
    source, target = tmp_path / "edge/frames", disk.folder / "frames"
    fill(source, files, 1)
    task = task_to(tmp_path, disk)
    assert run_task(task).exit_code == 0
    before = photograph(target)
    fill(source, files, 2)
    mirror = MirrorTarget(str(disk.folder), task)
    mirror._sidecar = StoppingSidecar(disk.folder / ".tiers", stops)
    mirror._documents = Documents(mirror._sidecar)
    tree = FolderTree(str(tmp_path / "edge"), task, EVERYTHING, remember=False)
    new = tree.look().index
    mirror.plan(Wish(new))
    mirror.fill(tree.chunks, Pace(0), lambda _: None)
    with pytest.raises(RemoteUnavailableError, match="stopped here"):
        mirror.commit(())
    cut = disk.after_a_power_cut()
    try:
        assert photograph(cut.folder / "frames") == (
            before if stops == "next is written" else photograph(source)
        )
        documents = Documents(DirectoryRemote(str(cut.folder / ".tiers")))
        head, following = (documents.read_ref(f"routes/frames/{name}") for name in ("head", "next"))
        assert head is not None
        if stops == "head is written":
            assert (head.digest, following) == (as_tree(new).digest, None)
        else:
            assert following is not None
            assert head.digest != following.digest == as_tree(new).digest
        assert documents.get_index(as_tree(new).digest).entries == tuple(new.entries)
        again = run_task(task_to(tmp_path, cut))
        assert (again.exit_code, again.bytes_moved) == (0, 0)
        assert photograph(cut.folder / "frames") == photograph(source)
    finally:
        mirror.close()
        tree.close()
        cut.unmount()
