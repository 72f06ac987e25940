"""Whatever people do to a tree, a mirror and a way through packs end up equal to it, each time again.

Steps are drawn from a seed: files, hard links, links, folders, attributes, holes, modes, times, renames, deletions.
After each few steps both are compared in full, and one more run must find nothing to do.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.toolkit.sync.disks import need_holes, need_xattrs, write_sparse
from tests.toolkit.sync.stores.listing import listing
from tests.toolkit.sync.trees import storage, task_of
from toolkit.sync.run import run_task
from toolkit.sync.task import SyncTask

ROUNDS = 8
SEEDS = [pytest.param(1), *(pytest.param(seed, marks=pytest.mark.faults) for seed in range(2, 6))]


class Hand:
    """Does something to a tree."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.draw = random.Random(seed)
        self.clock = 1_600_000_000_000_000_000

    def any(self, *kinds: str) -> Path | None:
        """Give something of these kinds that is there."""
        found = {
            "file": lambda path: path.is_file() and not path.is_symlink(),
            "folder": lambda path: path.is_dir() and not path.is_symlink(),
            "link": Path.is_symlink,
        }
        paths = [path for path in sorted(self.root.rglob("*")) if any(found[kind](path) for kind in kinds)]
        return self.draw.choice(paths) if paths else None

    def new(self) -> Path:
        """Give a place where nothing is."""
        folder = self.any("folder") if self.draw.random() < 0.6 else None
        while True:
            path = (folder or self.root) / f"{self.draw.choice('abcxyz')}{self.draw.randrange(40)}"
            if not path.is_symlink() and not path.exists():
                return path

    def step(self) -> None:
        """Do one thing, if there is something to do it with."""
        things = [self.write, self.write, self.link, self.link, self.symlink, self.folder, self.attribute, self.sparse,
                  self.mode, self.time, self.rename, self.delete, self.swap, self.unshare]  # fmt: skip
        self.draw.choice(things)()

    def write(self) -> None:
        file = self.any("file") if self.draw.random() < 0.5 else None
        if file is not None:
            file.chmod(file.stat().st_mode | 0o200)  # root alone may write what is read-only
        (file or self.new()).write_bytes(self._bytes())

    def link(self) -> None:
        if file := self.any("file"):
            self.new().hardlink_to(file)

    def symlink(self) -> None:
        self.new().symlink_to(self.draw.choice(["nowhere", "../outside", "a1", str(self.root)]))

    def folder(self) -> None:
        self.new().mkdir()

    def attribute(self) -> None:
        if thing := self.any("file", "folder"):
            thing.chmod(thing.stat().st_mode | 0o200)
            names = os.listxattr(thing)
            if names and self.draw.random() < 0.5:
                os.removexattr(thing, self.draw.choice(names))
            else:
                name = f"user.{self.draw.choice('ab')}"
                os.setxattr(thing, name, self.draw.randbytes(self.draw.randrange(30)))

    def sparse(self) -> None:
        write_sparse(self.new(), 600_000, (self.draw.randrange(500_000), self._bytes()[:4000]))

    def mode(self) -> None:
        if thing := self.any("file", "folder"):
            thing.chmod(self.draw.choice([0o700, 0o755, 0o777] if thing.is_dir() else [0o400, 0o644, 0o755]))

    def time(self) -> None:
        if thing := self.any("file", "folder", "link"):
            self.clock += self.draw.randrange(10**12)
            os.utime(thing, ns=(0, self.clock), follow_symlinks=False)

    def rename(self) -> None:
        thing, place = self.any("file", "folder", "link"), self.new()
        if thing and thing not in place.parents:
            thing.rename(place)

    def delete(self) -> None:
        if thing := self.any("file", "folder", "link"):
            _delete(thing)

    def swap(self) -> None:
        """Put another kind of thing under the same name."""
        if thing := self.any("file", "folder", "link"):
            _delete(thing)
            make = [thing.mkdir, lambda: thing.symlink_to("x"), lambda: thing.write_bytes(b"y")]
            self.draw.choice(make)()

    def unshare(self) -> None:
        """Make a file of its own out of a name of one."""
        if file := self.any("file"):
            data = file.read_bytes()
            file.unlink()
            file.write_bytes(data)

    def _bytes(self) -> bytes:
        return self.draw.randbytes(self.draw.choice([0, 1, 500, 5000, 5000, 70_000]))


def _delete(thing: Path) -> None:
    if thing.is_dir() and not thing.is_symlink():
        shutil.rmtree(thing)
    else:
        thing.unlink()


@pytest.mark.parametrize("seed", SEEDS)
def test_any_tree_arrives(tmp_path, seed):
    need_xattrs(tmp_path)
    need_holes(tmp_path)
    task = task_of(tmp_path)
    source, target = tmp_path / "edge/frames", tmp_path / "hot/frames"
    cold = storage(tmp_path / "cold", "packs")
    back = SyncTask(route="back", source=cold, targets=(storage(tmp_path / "back"),), path="frames")
    hand = Hand(source, seed)
    for number in range(ROUNDS):
        for _ in range(hand.draw.choice([1, 3, 12])):
            hand.step()
        everything = 1_000_000
        for each in (task, task_of(tmp_path, cold, route="archive"), back):
            result = run_task(each, max_delete=everything)
            assert (result.exit_code, result.problems) == (0, ()), (number, result)
        wanted = _tree(source)
        assert _tree(target) == wanted, f"round {number}"
        assert _tree(tmp_path / "back/frames") == wanted, f"round {number}"
        again = run_task(task, max_delete=everything)
        assert not again.targets[0].changed, f"round {number}"


def _tree(root: Path) -> str:
    """List a folder, which is not there when nothing is in it; but for holes: there may be more or fewer of them."""
    return listing(root).replace(" holes", "") if root.exists() else ""
